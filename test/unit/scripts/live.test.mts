import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  assemble,
  type Outputs,
  probeScript,
  problemsOf,
  readProbe,
  userState,
} from "../../../scripts/lib/live.mjs";
import { overview } from "../../../scripts/lib/overview.mjs";

const user = (name: string, node: string, desiredState = "running") => ({
  name,
  node,
  desiredState,
  ssh: { host: "10.88.0.10", port: 10022 },
  urls: { code: "http://c", jupyter: "http://j", tensorboard: "http://t" },
});
const node = (name: string, role: string, address: string) => ({
  name,
  kind: "local",
  role,
  address,
  privateAddress: address,
});
const outputs: Outputs = {
  nodes: [node("node-0", "head", "10.88.0.10"), node("node-1", "worker", "10.88.0.11")],
  users: [user("alice", "node-0"), user("bob", "node-1", "stopped")],
  ray: { address: "10.88.0.10:6379", dashboard: "http://10.88.0.10:8265" },
};
const workspace = (owner: string, state: string, status: string) => ({
  owner,
  component: "workspace",
  state,
  status,
});
const answer = (...containers: ReturnType<typeof workspace>[]) => ({ containers, rayNodes: 2 });

describe("the script that nodes run", () => {
  it("is good bash, with and without Ray", () => {
    for (const head of [true, false]) execFileSync("bash", ["-n"], { input: probeScript("dev", head) });
    expect(probeScript("dev", false)).not.toContain("python3");
    expect(probeScript("dev", true)).toContain("label=berth.stack=dev");
  });
  it("is read back, also with words of other programs in between", () => {
    const text =
      "Welcome!\nC\talice\tworkspace\trunning\tUp 3 minutes (healthy)\nC\tsystem\tray\trunning\tUp\nEND\nR\t2\n";
    expect(readProbe(text)).toEqual({
      containers: [
        workspace("alice", "running", "Up 3 minutes (healthy)"),
        { owner: "system", component: "ray", state: "running", status: "Up" },
      ],
      rayNodes: 2,
    });
  });
  it("takes a cut-off answer for none", () => {
    expect(readProbe("C\talice\tworkspace\trunning\tUp\n")).toBeUndefined();
    expect(readProbe("END\n")).toEqual({ containers: [], rayNodes: null });
  });
});

describe("states", () => {
  it.each([
    ["running", "Up 3 minutes (healthy)", "running"],
    ["running", "Up 3 minutes", "running"],
    ["running", "Up 2 seconds (health: starting)", "starting"],
    ["running", "Up 3 minutes (unhealthy)", "unhealthy"],
    ["restarting", "Restarting (1) 2 seconds ago", "unhealthy"],
    ["exited", "Exited (0) 2 minutes ago", "stopped"],
    ["created", "Created", "stopped"],
  ])("%s, %s: %s", (state, status, expected) => {
    expect(userState(answer(workspace("alice", state, status)), "alice")).toBe(expected);
  });
  it("knows missing from unknown, and a user's workspace from their other containers", () => {
    expect(userState(answer(workspace("bob", "running", "Up")), "alice")).toBe("missing");
    expect(userState(answer({ ...workspace("alice", "running", "Up"), component: "job" }), "alice")).toBe(
      "missing",
    );
    expect(userState(undefined, "alice")).toBe("unknown");
  });
});

describe("the whole status", () => {
  const up = new Map([
    ["node-0", answer(workspace("alice", "running", "Up (healthy)"))],
    ["node-1", answer(workspace("bob", "exited", "Exited (0)"))],
  ]);
  it("has exactly the fields that it promises", () => {
    const status = assemble("dev", outputs, up);
    expect(Object.keys(status)).toEqual(["stack", "nodes", "users", "ray"]);
    expect(status.nodes[0]).toEqual({ ...outputs.nodes?.[0], state: "up" });
    expect(Object.keys(status.users[0] ?? {})).toEqual(["name", "node", "state", "ssh", "urls"]);
    expect(status.ray).toEqual({ ...outputs.ray, nodes: 2 });
    expect(problemsOf(status, outputs)).toEqual([]);
  });
  it("says what is not as it should be", () => {
    const half = new Map([["node-0", { ...answer(), rayNodes: 1 }]]);
    const status = assemble("dev", outputs, half);
    expect(problemsOf(status, outputs)).toEqual([
      "node node-1 is unreachable",
      "alice's workspace is missing",
      "bob's workspace is unknown",
      "Ray has 1 of 2 nodes",
    ]);
  });
});

describe("a node that is out", () => {
  const since = "2026-11-21T10:00:00.000Z";
  const probed = (mark: string) =>
    readProbe(`M\t${Buffer.from(mark).toString("base64")}\nEND\nR\t1\n`) ?? answer();
  const problems = (mark: string) => {
    const status = assemble("dev", outputs, new Map([["node-1", probed(mark)]]));
    expect(status.nodes[1]?.state).toBe("out");
    return problemsOf(status, outputs)[1];
  };
  it("is said to be, since when, why, and how it comes back", () => {
    const mark = { since, reason: "new disks", deadline: since, boot: "1", workspaces: [] };
    expect(problems(JSON.stringify({ ...mark, by: "drain", keep: true }))).toBe(
      `node node-1 is out since ${since} (new disks); npm run node -- undrain node-1 takes it back`,
    );
    expect(problems(JSON.stringify({ ...mark, by: "reboot", keep: false }))).toContain(
      "npm run node -- reboot node-1 goes on",
    );
  });
  it("is out also where its mark cannot be read", () => {
    expect(problems("{")).toContain("node node-1 is out since ? (/var/lib/berth/drained there is no JSON)");
  });
});

describe("the overview", () => {
  it("shows how to get in, and no secret", () => {
    const text = overview(
      { ...outputs, credentials: "[secret]" },
      { stack: "lab", folder: "/home/me/my berth/stacks/lab" },
    );
    expect(text).toContain("ssh -p 10022 alice@10.88.0.10");
    expect(text).toContain("--credentials alice --stack lab");
    expect(text).toContain("-L 8265:10.88.0.10:8265 -i '/home/me/my berth/stacks/lab/id_ed25519'");
    expect(text).toContain("npm run destroy -- --stack lab");
    expect(text).not.toContain("[secret]");
  });
});
