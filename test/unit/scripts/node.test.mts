/** `npm run node`: what it decides, and what it says. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { asRoot, sshToNode } from "../../../scripts/lib/ssh.mjs";
import type { Facts } from "../../../scripts/node/facts.mjs";
import { forgetJournal, readJournal, writeJournal } from "../../../scripts/node/journal.mjs";
import { markFor } from "../../../scripts/node/mark.mjs";
import {
  chooseNode,
  type Look,
  type Mark,
  machineOf,
  noticeFor,
  objections,
  previewLines,
  previewProblems,
  readDeadline,
  readReason,
  readWords,
  type TargetNode,
  whatHappens,
  workInWords,
} from "../../../scripts/node/plan.mjs";
import { workOn } from "../../../scripts/node/ray.mjs";
import { character, LAST_CHARACTER, placeOf } from "../../lib/characters.js";
import { mark } from "./node-mark.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-node-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const node = (name: string, role: string, more: Partial<TargetNode> = {}): TargetNode => ({
  ...{ name, kind: "local", role, address: `a-${name}`, privateAddress: `p-${name}` },
  ...more,
});
const facts = (more: Partial<Facts> = {}): Facts => ({
  ...{ boot: "b/1", docker: true, mark: undefined, workspaces: [], ray: "running", rayContainer: "r" },
  ...more,
});
const workspace = (owner: string, state = "running", terminals = 0) => ({
  ...{ name: `berth-dev-workspace-${owner}`, owner, state, healthy: state === "running", terminals },
});

describe("options", () => {
  it.each([
    ["0s", 0],
    ["90", 90_000],
    ["90s", 90_000],
    ["10m", 600_000],
    ["168h", 604_800_000],
  ])("take %s for %d ms", (text, ms) => expect(readDeadline(text)).toBe(ms));

  it.each(["", "-1s", "1.5h", "10 m", "10d", "m", "169h", "99999999999999s", "1e3"])(
    "refuse %j for a length of time",
    (text) => expect(() => readDeadline(text)).toThrow(/--deadline: .*Allowed/s),
  );

  it("let nothing into people's terminals that is not text", () => {
    expect(readReason(" neue Platte für GPUs ")).toBe("neue Platte für GPUs");
    for (const text of ["", "  ", "a\u001b[2Jb", "two\nlines", "a\u202eb", "x".repeat(201)])
      expect(() => readReason(text), JSON.stringify(text)).toThrow("--reason");
    fc.assert(
      fc.property(
        fc.string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf), maxLength: 300 }),
        (text) => {
          let read = "";
          try {
            read = readReason(text);
          } catch {
            return;
          }
          expect(read).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
          expect(read.length).toBeGreaterThan(0);
        },
      ),
    );
  });

  it("take a command and one node", () => {
    expect(readWords(["reboot", "node-1"])).toEqual({ command: "reboot", name: "node-1" });
    for (const words of [[], ["drain"], ["halt", "node-1"], ["drain", "node-1", "node-2"], ["drain", "-x"]])
      expect(() => readWords(words), words.join(" ")).toThrow(/--help$/);
  });

  it("know the stack's nodes", () => {
    const outputs = { nodes: [node("node-0", "head"), node("node-1", "worker")] };
    expect(chooseNode(outputs, "dev", "node-1").address).toBe("a-node-1");
    expect(() => chooseNode(outputs, "dev", "node-2")).toThrow("Its nodes: node-0, node-1.");
  });

  it.each([
    [["--help"], 0, /Exit codes/],
    [[], 2, /the command and the node are missing/],
    [["drain", "node-1", "--deadlin", "1m", "--yes"], 2, /"--deadlin" is not an option/],
    [["drain", "node-1", "--deadline", "soon", "--yes"], 2, /"soon" is no length of time/],
    [["drain", "node-1", "--stack", "x"], 2, /no terminal to ask on.*drain node-1 --stack x --yes/],
    [
      ["drain", "node-9", "--stack", "x"],
      2,
      /^\nStack x has no node "node-9". Its nodes: node-0, node-1.\n$/,
    ],
    [["replace", "node-9", "--yes"], 2, /^\nStack dev has no node "node-9". Its nodes: node-0, node-1.\n$/],
  ])("end %j with exit code %d", (argv, code, said) => {
    // In Pulumi's place: it tells the outputs.
    const nodes = [node("node-0", "head"), node("node-1", "worker")];
    const pulumi = `#!/bin/sh\ncat <<'EOF'\n${JSON.stringify({ nodes })}\nEOF\n`;
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/pulumi"), pulumi, { mode: 0o755 });
    const env = {
      ...process.env,
      ...{ BERTH_HOME: join(folder, "home"), BERTH_CACHE: join(folder, "cache") },
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
    };
    const done = spawnSync(process.execPath, ["scripts/node.mjs", ...argv], { encoding: "utf8", env });
    expect([done.status, done.stdout + done.stderr]).toEqual([code, expect.stringMatching(said)]);
  });
});

describe("what stands against it", () => {
  const look = (more: Partial<Look> = {}): Look => ({
    ...{ command: "drain", node: node("node-1", "worker"), ray: true, facts: facts(), head: false },
    ...{ goesOn: false, others: new Map([["node-0", facts()]]) },
    ...more,
  });
  const head = node("node-0", "head");
  const droplet = node("node-1", "worker", { kind: "digitalocean" });

  it.each<[string, Partial<Look>, string[], string[]]>([
    ["nothing", {}, [], []],
    ["it is the head", { node: head }, ["Ray's head.*--head$"], []],
    ["nothing, as --head was said", { node: head, head: true }, [], []],
    ["nothing, as the stack has no Ray", { node: head, ray: false }, [], []],
    [
      "it is bare metal",
      { command: "replace", node: node("m", "worker", { kind: "baremetal" }) },
      ["hostKey"],
      [],
    ],
    ["it does not answer", { facts: undefined }, ["replace node-1 --force$"], []],
    ["it does not answer, to be replaced", { command: "replace", facts: undefined }, [], ["cannot be told"]],
    ["nothing, as it restarts just now", { command: "reboot", facts: undefined, goesOn: true }, [], []],
    ["nothing, as it is being made", { command: "replace", facts: undefined, goesOn: true }, [], []],
    [
      "homes would go with its disk",
      { command: "replace", node: droplet, facts: facts({ homesOnDisk: true }) },
      [],
      ["node-1.*deleted.*Copy /mnt/storage"],
    ],
    ["nothing, as a volume has them", { command: "replace", facts: facts({ homesOnDisk: true }) }, [], []],
    [
      "nothing, as its disk stays",
      { command: "reboot", node: droplet, facts: facts({ homesOnDisk: true }) },
      [],
      [],
    ],
    [
      "nothing, as the new machine is there",
      { command: "replace", node: droplet, facts: facts({ homesOnDisk: true }), goesOn: true },
      [],
      [],
    ],
    ["its Ray would come back", { facts: facts({ ray: "old" }) }, ["npm run up first"], []],
    [
      "another one is out",
      { others: new Map([["node-2", facts({ mark })]]) },
      [],
      ["new disk.*undrain node-2$"],
    ],
    ["another one does not answer", { others: new Map([["node-2", undefined]]) }, [], ["two nodes"]],
  ])("%s", (_, more, never, unforced) => {
    const found = objections(look(more));
    const like = (patterns: string[]) =>
      patterns.map((pattern) => expect.stringMatching(new RegExp(pattern, "s")));
    expect(found).toEqual({ never: like(never), unforced: like(unforced) });
  });
});

describe("what people read", () => {
  it("says when, why, and that files stay", () => {
    const about = { node: "node-1", reason: "new disk", deadline: mark.deadline };
    for (const command of ["drain", "reboot", "replace"] as const) {
      const lines = noticeFor({ ...about, command });
      expect(lines.join("\n")).toMatch(
        /node-1.*new disk.*2026-11-21 08:10 UTC|2026-11-21 08:10 UTC.*new disk/s,
      );
      expect(lines.join("\n")).toContain("Your files in /home, /workspace and /shared stay.");
    }
    expect(noticeFor({ ...about, command: "reboot", now: true })[0]).toContain("goes down now to restart");
    const gone = noticeFor({ ...about, command: "replace", lost: true }).join("\n");
    expect(gone).toContain("are deleted with it: copy them away");
    expect(gone).not.toContain("stay.");
  });

  it("counts what runs, and lets no name of a task reach the terminal raw", () => {
    expect(workInWords([])).toBe("");
    expect(workInWords([{ name: "load" }])).toBe("1 task or actor (load)");
    const many = ["a", "a", "b", "c", "d", "e"].map((name) => ({ name }));
    expect(workInWords(many)).toBe("6 tasks and actors (a x2, b, c, d, and 1 more)");
    expect(workInWords([{ name: "x\u001b]0;y\u0007\n" }])).toBe("1 task or actor (x?]0;y??)");
  });

  it("says what will happen", () => {
    const about = { node: node("node-1", "worker"), ray: true, deadlineMs: 600_000 };
    const here = facts({ workspaces: [workspace("bob", "running", 2), workspace("eve", "exited")] });
    const work = [{ node: "1", name: "train" }];
    expect(whatHappens({ ...about, command: "reboot", facts: here, work })).toEqual([
      "Node node-1 (local, worker, a-node-1):",
      "  workspace of bob (2 terminals open): is told, ends, and comes back",
      "  Ray: 1 task or actor (train), which may take 10 min to end",
      "  then it restarts, and is taken back when all runs again",
    ]);
    const replaced = (kind: string, more: Partial<Facts> = {}) => {
      const one = node("node-1", "worker", { kind });
      return whatHappens({
        ...about,
        node: one,
        command: "replace",
        facts: { ...here, ...more },
        work,
      }).slice(3);
    };
    const volumes = "  then its machine is removed and made again; its volumes stay as they are";
    expect(replaced("local")).toEqual([volumes]);
    const disk = "  what lies on the droplet's own disk goes";
    expect(replaced("digitalocean")).toEqual([volumes, disk]);
    expect(replaced("digitalocean", { homesOnDisk: true })).toEqual([volumes, `${disk}: people's homes too`]);
    const cut = whatHappens({ ...about, command: "drain", facts: facts(), work, deadlineMs: 0 }).join("\n");
    expect(cut).toContain("which is cut off at once");
    expect(cut).toContain("no workspace runs on it");
    const lead = {
      ...about,
      node: node("node-0", "head"),
      command: "drain" as const,
      facts: facts(),
      work: null,
    };
    expect(whatHappens(lead).join("\n")).toMatch(/the whole cluster stops.*not known what runs/s);
  });

  it("takes a worker's own work, and with the head everybody's", () => {
    const state = (id: string, address: string, now: string) => ({ id, address, state: now, activity: [] });
    const found = {
      nodes: [
        state("0", "p-node-0", "IDLE"),
        state("old", "p-node-1", "DEAD"),
        state("1", "p-node-1", "DRAINING"),
      ],
      shown: [],
      work: ["0", "old", "1"].map((id) => ({ node: id, name: `task-${id}` })),
    };
    const others: TargetNode[] = [];
    const on = (target: TargetNode, cluster: typeof found | undefined) =>
      workOn({ node: target, others } as unknown as Parameters<typeof workOn>[0], cluster);
    expect(on(node("node-1", "worker"), found)?.map(({ name }) => name)).toEqual(["task-1"]);
    expect(on(node("node-0", "head"), found)).toHaveLength(3);
    expect(on(node("node-1", "worker"), undefined)).toBeNull();
  });
});

describe("the mark", () => {
  const now = Date.parse("2026-11-21T09:00:00.000Z");
  const job = { command: "reboot" as const, reason: "kernel", deadlineMs: 60_000, ownDeadline: false };
  const here = facts({ boot: "b/2", workspaces: [workspace("bob"), workspace("eve", "exited")] });

  it("holds what it takes to go on", () => {
    expect(markFor(job, here, now)).toEqual({
      ...{
        since: "2026-11-21T09:00:00.000Z",
        reason: "kernel",
        by: "reboot",
        boot: "b/2",
        workspaces: ["bob"],
      },
      ...{ deadline: "2026-11-21T09:01:00.000Z", keep: false },
    });
    expect(markFor({ ...job, command: "drain" }, here, now).keep).toBe(true);
  });

  it("goes on with the deadline, the start and the workspaces of the run before", () => {
    const left: Mark = { ...mark, by: "reboot", boot: "b/1", workspaces: ["bob", "carol"], keep: false };
    expect(markFor(job, { ...here, mark: left }, now)).toEqual(left);
    const longer = markFor({ ...job, ownDeadline: true }, { ...here, mark: left }, now);
    expect(longer.deadline).toBe("2026-11-21T09:01:00.000Z");
  });

  it("restarts a drained node once more, and leaves it drained", () => {
    expect(markFor(job, { ...here, mark }, now)).toMatchObject({ by: "reboot", boot: "b/2", keep: true });
    const restarting = { ...mark, by: "reboot" as const, keep: false };
    expect(markFor({ ...job, command: "drain" }, { ...here, mark: restarting }, now).keep).toBe(true);
  });
});

describe("the journal", () => {
  it("is this command's and this node's alone", () => {
    const at = { home: folder } as Parameters<typeof readJournal>[0]["at"];
    const job = (command: string, name: string) =>
      ({ at, stack: "dev", command, node: node(name, "worker") }) as unknown as Parameters<
        typeof readJournal
      >[0];
    writeJournal(job("replace", "node-1"), { mark, machine: "id-1" });
    expect(readJournal(job("replace", "node-1"))).toMatchObject({ machine: "id-1", mark });
    expect(readJournal(job("reboot", "node-1"))).toBeUndefined();
    expect(readJournal(job("replace", "node-2"))).toBeUndefined();
    forgetJournal(job("undrain", "node-1"));
    expect(readJournal(job("replace", "node-1"))).toBeUndefined();
  });
});

describe("replacement", () => {
  const urn = (path: string, name: string) => `urn:pulumi:dev::berth::berth:index:Cluster$${path}::${name}`;
  const LOCAL = "berth:node:LocalNode$docker:index/container:Container";
  const DROPLET = "berth:node:DropletNode$digitalocean:index/droplet:Droplet";
  const WORKSPACE = "berth:workspace:Workspace$docker:index/container:Container";

  it("finds a node's machine, and takes no workspace or stage for it", () => {
    const resources = [
      { urn: urn("berth:node:LocalNode", "berth-node-1") },
      { urn: urn(WORKSPACE, "berth-node-1"), id: "w" },
      { urn: urn("berth:host:Stages$command:remote:Command", "berth-node-1-host-base"), id: "s" },
      { urn: urn(LOCAL, "berth-node-10"), id: "10" },
      { urn: urn(LOCAL, "berth-node-1"), id: "1" },
      { urn: urn(DROPLET, "berth-gpu-1"), id: "d" },
    ];
    expect(machineOf(resources, "node-1")?.id).toBe("1");
    expect(machineOf(resources, "gpu-1")?.id).toBe("d");
    expect(machineOf(resources, "node-2")).toBeUndefined();
    const cut = resources.map((one) => ({ ...one, pendingReplacement: true }));
    expect(machineOf(cut, "node-1"), "deleted, and not made again").toBeUndefined();
  });

  it.each([
    ["docker:index/volume:Volume", "berth-node-1-storage", "a volume"],
    ["berth:node:DropletNode$digitalocean:index/volume:Volume", "berth-node-1-volume-homes", "a volume"],
    [LOCAL, "berth-node-0", "another node's machine"],
    [DROPLET, "berth-node-0", "another node's machine"],
  ])("refuses to remove %s %s", (path, name, what) => {
    const own = { op: "replace", urn: urn(LOCAL, "berth-node-1") };
    for (const op of ["delete", "replace", "delete-replaced"]) {
      const found = previewProblems([own, { op, urn: urn(path, name) }], "node-1");
      expect(found).toEqual([expect.stringContaining(`${op} ${name}: ${what}`)]);
    }
    for (const op of ["same", "update", "create"])
      expect(previewProblems([own, { op, urn: urn(path, name) }], "node-1")).toEqual([]);
  });

  it("allows what goes with the machine, and shows each change once", () => {
    const attachment = "berth:node:DropletNode$digitalocean:index/volumeAttachment:VolumeAttachment";
    const steps = [
      { op: "same", urn: urn("docker:index/volume:Volume", "berth-node-1-storage") },
      { op: "delete-replaced", urn: urn(DROPLET, "berth-node-1") },
      { op: "replace", urn: urn(DROPLET, "berth-node-1") },
      { op: "create-replacement", urn: urn(DROPLET, "berth-node-1") },
      { op: "replace", urn: urn(attachment, "berth-node-1-volume-homes-attachment") },
      { op: "replace", urn: urn(WORKSPACE, "berth-workspace-bob") },
    ];
    expect(previewProblems(steps, "node-1")).toEqual([]);
    expect(previewLines(steps)).toEqual([
      "  replace  berth-node-1  (digitalocean:index/droplet:Droplet)",
      "  replace  berth-node-1-volume-homes-attachment  (digitalocean:index/volumeAttachment:VolumeAttachment)",
      "  replace  berth-workspace-bob  (docker:index/container:Container)",
    ]);
  });
});

describe("the way to a node", () => {
  it("is the stack's key as root, or what the stack says", () => {
    expect(sshToNode("/f", node("node-1", "worker")).at(-1)).toBe("root@a-node-1");
    const ssh = { user: "ops", port: 2222, options: ["-i", "/k", "-o", "ProxyCommand=nc %h %p"] };
    const own = node("m", "worker", { ssh });
    const words = sshToNode("/f", own);
    expect(words.slice(-4)).toEqual(["-p", "2222", "--", "ops@a-m"]);
    expect(words.join(" ")).toContain("-i /k -o ProxyCommand=nc %h %p");
    // ssh takes the first value: no shared connection, which would hang when its machine restarts.
    expect(words.indexOf("ControlMaster=no")).toBeLessThan(words.indexOf("/k"));
    expect(words).toContain("StrictHostKeyChecking=yes");
    expect(words.slice(0, 2)).toEqual(["-F", "none"]);
    expect([asRoot(own, "bash -s"), asRoot(node("n", "head"), "bash -s")]).toEqual([
      "sudo -n bash -s",
      "bash -s",
    ]);
  });
});
