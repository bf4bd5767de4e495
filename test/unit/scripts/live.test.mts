import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { dashboardLines } from "../../../scripts/lib/dashboard.mjs";
import { outputsOf } from "../../../scripts/lib/down.mjs";
import {
  assemble,
  type Outputs,
  probeScript,
  problemsOf,
  readProbe,
  userState,
} from "../../../scripts/lib/live.mjs";
import { asLists } from "../../../scripts/lib/outputs.mjs";
import { overview } from "../../../scripts/lib/overview.mjs";
import { statusTable } from "../../../scripts/lib/status-table.mjs";
import { tunnelText } from "../../../scripts/lib/tunnels.mjs";

const user = (name: string, node: string, desiredState = "running") => ({
  name,
  node,
  desiredState,
  ssh: { host: "10.88.0.10", port: 10022 },
  urls: { code: "http://c", jupyter: "http://j", tensorboard: "http://t" },
  tunnel: `ssh -N -L 10002:127.0.0.1:10002 -p 10022 ${name}@10.88.0.10`,
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
const workspace = (owner: string, state: string, health = "") => ({
  ...{ id: `${owner}-id`, name: `berth-dev-workspace-${owner}`, owner, component: "workspace" },
  ...{ state, health, exitCode: 0, oom: false, since: "0001-01-01T00:00:00Z", error: "" },
});
const line = (id: string, of: string, state: string, health: string) =>
  `C\t${id}-id\t/berth-dev-${id}\t${of}\t${state}\t${health}\t0\tfalse\t0001-01-01T00:00:00Z\t""`;
const answer = (...containers: ReturnType<typeof workspace>[]) => ({ containers, rayNodes: 2 });

describe("the script that nodes run", () => {
  it("is good bash, with and without Ray", () => {
    for (const head of [true, false]) execFileSync("bash", ["-n"], { input: probeScript("dev", head) });
    expect(probeScript("dev", false)).not.toContain("python3");
    expect(probeScript("dev", true)).toContain("label=berth.stack=dev");
  });
  it("takes nothing but a number from Ray's container, where everybody's tasks may write into the answer", () => {
    const forged = Buffer.from(JSON.stringify({ since: "?", reason: "\u001b]0;owned\u0007" })).toString(
      "base64",
    );
    const said = (words: string) => {
      const docker = `docker() { case "$1 $2" in 'ps --quiet') echo ray ;; exec*) ${words} ;; esac; }`;
      const timeout = 'timeout() { shift; "$@"; }';
      const script = `${docker}\n${timeout}\n${probeScript("dev", true)}`.replaceAll(
        "/run/berth/",
        "/nowhere/",
      );
      return execFileSync("bash", ["-s"], {
        input: script,
        encoding: "utf8",
        stdio: ["pipe", "pipe", "inherit"],
      });
    };
    expect(readProbe(said("echo 3"))).toEqual({ containers: [], rayNodes: 3 });
    for (const words of [
      `printf '3\\nM\\t${forged}\\n'`,
      `printf 'H\\t${forged}\\n'`,
      "printf 'I\\tnone\\n'",
      "yes 1",
      "echo words >&2",
      "exit 1",
      "echo",
    ])
      expect(readProbe(said(words)), words).toEqual({ containers: [], rayNodes: null });
  });
  it("is read back, also with words of other programs in between", () => {
    const alice = line("workspace-alice", "alice\tworkspace", "running", "healthy");
    const ray = line("ray", "system\tray", "running", "");
    expect(readProbe(`Welcome!\n${alice}\n${ray}\nEND\nR\t2\n`)).toEqual({
      containers: [
        { ...workspace("alice", "running", "healthy"), id: "workspace-alice-id" },
        { ...workspace("system", "running"), id: "ray-id", name: "berth-dev-ray", component: "ray" },
      ],
      rayNodes: 2,
    });
  });
  it("takes what is listed and not described for unknown, not for gone", () => {
    const alice = line("workspace-alice", "alice\tworkspace", "running", "healthy");
    const answered = readProbe(`I\tworkspace-alice-id\nI\tother-id\n${alice}\nEND\n`);
    expect(answered?.containers.map(({ id, state }) => [id, state])).toEqual([
      ["workspace-alice-id", "running"],
      ["other-id", "unknown"],
    ]);
    expect(userState(answered, "alice")).toBe("running");
    expect(userState(answered, "bob")).toBe("unknown");
  });
  it("takes a cut-off answer for none", () => {
    expect(readProbe(`${line("a", "alice\tworkspace", "running", "")}\n`)).toBeUndefined();
    expect(readProbe("END\n")).toEqual({ containers: [], rayNodes: null });
  });
});

describe("states", () => {
  it.each([
    ["running", "healthy", "running"],
    ["running", "", "running"],
    ["running", "starting", "starting"],
    ["running", "unhealthy", "unhealthy"],
    ["restarting", "", "unhealthy"],
    ["exited", "unhealthy", "stopped"],
    ["created", "", "stopped"],
  ])("%s, %s: %s", (state, health, expected) => {
    expect(userState(answer(workspace("alice", state, health)), "alice")).toBe(expected);
  });
  it("knows missing from unknown, and a user's workspace from their other containers", () => {
    expect(userState(answer(workspace("bob", "running")), "alice")).toBe("missing");
    expect(userState(answer({ ...workspace("alice", "running"), component: "job" }), "alice")).toBe(
      "missing",
    );
    expect(userState(undefined, "alice")).toBe("unknown");
  });
});

describe("the whole status", () => {
  const up = new Map([
    ["node-0", answer(workspace("alice", "running", "healthy"))],
    ["node-1", answer(workspace("bob", "exited"))],
  ]);
  it("has exactly the fields that it promises", () => {
    const status = assemble("dev", outputs, up);
    expect(Object.keys(status)).toEqual(["stack", "nodes", "users", "ray", "down"]);
    expect(status.nodes[0]).toEqual({ ...outputs.nodes?.[0], state: "up" });
    expect(Object.keys(status.users[0] ?? {})).toEqual(["name", "node", "state", "ssh", "urls", "tunnel"]);
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

describe("what stands under the tables", () => {
  const where = { stack: "lab", folder: "/home/me/lab" };
  const status = () => assemble("lab", outputs, new Map());

  it("is how the dashboard is opened from here, not the address that answers the cluster alone", () => {
    const text = statusTable(status(), outputs, where);
    expect(text).toContain(
      "Its dashboard: ssh -N -L 8265:10.88.0.10:8265 -i /home/me/lab/id_ed25519 " +
        "-o UserKnownHostsFile=/home/me/lab/known_hosts root@10.88.0.10\n",
    );
    expect(text).toContain(
      "then http://ray.localhost:8265, with the token from: npm run -s status -- --ray-token --stack lab",
    );
    expect(text).not.toMatch(/http:\/\/10\.88\.0\.10:8265/);
    expect(statusTable({ ...status(), ray: null }, { ...outputs, ray: undefined }, where)).not.toMatch(
      /Ray|8265/,
    );
  });

  it.each<[string, (told: Outputs) => string, RegExp]>([
    [
      "status",
      (told) => statusTable(status(), told, where),
      /^docker-host +http:\/\/192\.0\.2\.10:8080 +192\.0\.2\.10$/m,
    ],
    [
      "the end of npm start",
      (told) => overview(told, where),
      /http:\/\/192\.0\.2\.10:8080 .*--env docker-host --stack lab/,
    ],
  ])("is where back-ends reach the container manager, without its token, in %s", (_, print, line) => {
    const manager = {
      DOCKER_HOST: "192.0.2.10",
      DOCKER_HOST_URL: "http://192.0.2.10:8080",
      DOCKER_API_SECRET: "[secret]",
    };
    const text = print({ ...outputs, managers: { "docker-host": manager } });
    expect(text).toMatch(line);
    expect(text).not.toContain("[secret]");
    expect(print(outputs)).not.toMatch(/container manager/i);
  });

  it("names the login, the port and the way of a server that was adopted", () => {
    const options = [
      "-i",
      "/my keys/k",
      "-o",
      "ControlMaster=auto",
      "-o",
      "ControlPath=/x",
      "-o",
      "IdentitiesOnly=yes",
    ];
    const head = { ...node("node-0", "head", "192.0.2.7"), ssh: { user: "ops", port: 2222, options } };
    const [tunnel] = dashboardLines({ ...outputs, nodes: [head] }, where);
    expect(tunnel).toBe(
      "ssh -N -L 8265:10.88.0.10:8265 -i '/my keys/k' -o IdentitiesOnly=yes -p 2222 ops@192.0.2.7",
    );
  });
});

describe("the stack's outputs", () => {
  it("are read by name, and as an older version left them", () => {
    const { nodes, users } = outputs;
    const named = (list: { name: string }[] = []) => Object.fromEntries(list.map((one) => [one.name, one]));
    const rest = { ray: outputs.ray, credentials: "[secret]" };
    const read = asLists({ ...rest, nodes: named(nodes), users: named(users) });
    expect(read).toEqual({ ...rest, nodes, users });
    expect(asLists({ ...rest, nodes, users })).toEqual({ ...rest, nodes, users });
    expect(asLists({ ...rest, users: {} })).toEqual({ ...rest, users: [] });
    const state = { resources: [{ type: "pulumi:pulumi:Stack", outputs: { nodes: named(nodes) } }] };
    expect(outputsOf(state)).toEqual({ nodes });
    expect(outputsOf(undefined)).toEqual({});
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
    for (const name of ["alice", "bob"])
      expect(text).toMatch(
        new RegExp(`^${name}\\s+ssh -N -L 10002:127\\.0\\.0\\.1:10002 -p 10022 ${name}@`, "m"),
      );
    // Not localhost, whose cookies every server of the operator's computer is sent.
    expect(text).toContain("then http://ray.localhost:8265");
    expect(text).toContain("-L 8265:10.88.0.10:8265 -i '/home/me/my berth/stacks/lab/id_ed25519'");
    expect(text).toContain("npm run destroy -- --stack lab");
    expect(text).not.toContain("[secret]");
  });
});

describe("the commands for browsers", () => {
  const where = { stack: "dev", folder: "/home/me/dev" };
  it("stand beside who they are for, and are left out where the node publishes the services", () => {
    const { tunnel: _, ...published } = user("carol", "node-1");
    expect(tunnelText([user("alice", "node-0"), published])).toMatch(/\nalice +ssh -N [^\n]*$/);
    expect(tunnelText([published])).toBe("");
    const status = assemble("dev", { ...outputs, users: [published] }, new Map());
    expect(Object.keys(status.users[0] ?? {})).toEqual(["name", "node", "state", "ssh", "urls"]);
  });

  it.each<[string, (outputs: Outputs) => string]>([
    ["status", (told) => statusTable(assemble("dev", told, new Map()), told, where)],
    ["the end of npm start", (told) => overview(told, where)],
  ])("stand below the people in %s, once", (_, print) => {
    const { tunnel: _tunnel, ...published } = user("carol", "node-1");
    expect(print(outputs).split(tunnelText(outputs.users ?? []))).toHaveLength(2);
    expect(print({ ...outputs, users: [published] })).not.toContain("where this runs");
  });
});
