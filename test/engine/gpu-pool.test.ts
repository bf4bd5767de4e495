/**
 * A GpuPool under the real engine, against a node whose ledger is the daemon's own core behind a program named `ssh`.
 * Proves: the first preview says who gets which GPU, also before the node is there; what was shown is what is granted;
 * a second preview is empty; somebody in front of the list moves nobody and is one new line; one too many fails the
 * preview with the rule's name; a refresh shows drift and the next preview keeps what is held; who leaves frees it; the
 * state holds no code but the stub, no path of this computer; a destroy gives all back.
 */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Grant, Inventory } from "../../core/gpu";
import { declaredInventory } from "../../core/gpu";
import type { LimitsDocument } from "../../core/limits";
import { type ExportedResource, Sandbox } from "./sandbox";

const MINUTE = 60_000;
const root = join(__dirname, "../..");
const HOST = "10.0.0.5";
const inventory = declaredInventory(
  [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559, mig: ["1g.10gb", "1g.10gb", "1g.10gb"] }],
  "node-0",
);
const limits: LimitsDocument = { groups: { student: { max_mig_instances: 1 } } };

let sandbox: Sandbox;
let folder: string;
const path = process.env.PATH;

interface FakeNode {
  inventory: Inventory;
  grants: Grant[];
  nextToken: number;
  limits: LimitsDocument;
  down?: string;
  absent?: boolean;
}
const file = () => join(folder, `${HOST}.json`);
const node = (): FakeNode => JSON.parse(readFileSync(file(), "utf8"));
const change = (edit: (node: FakeNode) => void) => {
  const now = existsSync(file()) ? node() : { inventory, grants: [], nextToken: 1, limits };
  edit(now);
  writeFileSync(file(), JSON.stringify(now));
};
/** Who has what on the node: names of units, by key or by user. */
const held = () =>
  Object.fromEntries(
    node().grants.map(({ key, user, units }) => [key ?? user, units.map(({ name }) => name)]),
  );
/** Calls of ssh since the last look. */
const calls = () => {
  const log = join(folder, "calls");
  const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  rmSync(log, { force: true });
  return lines;
};

/** The program: one pool, and a resource that gets what it grants. */
function program(users: string[], count = 1, more = ""): void {
  const declared = users.map((user) => ({
    key: `workspace/${user}`,
    user,
    ask: { kind: "mig", profile: "1g.10gb", count },
  }));
  const args = {
    ...{
      node: "node-0",
      target: `root@${HOST}:22`,
      sshOptions: ["-i", "~/key"],
      machine: "m1",
      declared,
      inventory,
    },
    ...{ limits, groups: Object.fromEntries(users.map((user) => [user, "student"])) },
    ...{ strategy: "least-allocated", allowShared: false },
  };
  sandbox.program(`
require(${JSON.stringify(join(root, "components/gpu/load.cjs"))});
const { GpuPool } = require(${JSON.stringify(join(root, "components/gpu/index.ts"))});
const pool = new GpuPool("pool", { ...${JSON.stringify(args)} ${more} });
exports.grants = pool.grants;
exports.of = pulumi.all(${JSON.stringify(users)}.map((user) => pool.of("workspace/" + user))).apply((all) => all.map((units) => units.map(({ name }) => name)));
`);
}
const pool = async (): Promise<ExportedResource | undefined> =>
  (await sandbox.resources()).find(({ type }) => type === "pulumi-nodejs:dynamic/berth:GpuPool");

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-gpu-node-"));
  const ssh = join(folder, "ssh");
  writeFileSync(
    ssh,
    `#!/bin/sh\nexec ${process.execPath} ${join(__dirname, "gpu-node.cjs")} ${folder} "$@"\n`,
  );
  chmodSync(ssh, 0o755);
  process.env.PATH = [folder, path].join(delimiter);
  sandbox = await Sandbox.make([]);
  // The project's own parts, where the program and the state's stub look for them.
  symlinkSync(join(root, "components"), join(sandbox.folder, "components"));
  writeFileSync(
    join(sandbox.folder, "tsconfig.json"),
    JSON.stringify({ extends: join(root, "tsconfig.json") }),
  );
}, 3 * MINUTE);
afterAll(async () => {
  await sandbox?.remove();
  process.env.PATH = path;
  rmSync(folder, { recursive: true, force: true });
});

/** How often the engine's last words name somebody whose ask is refused. */
const told = (text: string, user: string) =>
  [...(text.split("Diagnostics:")[1] ?? "").matchAll(new RegExp(`workspace/${user} on \\S+: `, "g"))].length;

describe("a GPU pool", { timeout: 5 * MINUTE }, () => {
  it("is planned before its node is there, and asks nobody then", async () => {
    program(["bob", "carol"], 1, ", machine: pulumi.output(pulumi.unknown)");
    const { text } = await sandbox.ok(["preview", "--diff"]);
    expect(text).toContain("dynamic/berth:GpuPool");
    expect(text).toMatch(/workspace\/bob\s*: \[\s*\[0\]: "0:0 1g\.10gb, \d+ MiB: MIG-/);
    expect(text).toMatch(/workspace\/carol\s*: \[\s*\[0\]: "0:1 1g\.10gb, \d+ MiB: MIG-/);
    // What hangs on it is known too.
    expect(text).toMatch(/of\s*: \[\s*\[0\]: \[\s*\[0\]: "0:0"/);
    expect(calls()).toEqual([]);
  });

  it("says so where a node does not answer, and fails the update without granting", async () => {
    program(["bob", "carol"]);
    const { text } = await sandbox.ok(["preview", "--diff"]);
    expect(text).toContain("Connection refused");
    expect(text).toContain("0:0 1g.10gb");
    const up = await sandbox.run(["up", "--yes", "--skip-preview"]);
    expect(up.code).not.toBe(0);
    expect(up.text).toContain("it cannot be reached");
    expect(await pool()).toBeUndefined();
  });

  it("grants what was shown, over one connection for each step, and then has nothing to do", async () => {
    change(() => undefined);
    const { text } = await sandbox.ok(["preview", "--diff"]);
    calls();
    await sandbox.up();
    expect(calls()).toEqual([`${HOST} show`, `${HOST} apply`]);
    expect(held()).toEqual({ "workspace/bob": ["0:0"], "workspace/carol": ["0:1"] });
    for (const { units } of node().grants) expect(text).toContain(units[0]?.uuid);
    expect(await sandbox.outputs()).toMatchObject({ of: [["0:0"], ["0:1"]] });
    await sandbox.quiet();
  });

  it("takes over a state that has a line for each unit alone, by one update that changes nobody's grant", async () => {
    const { stdout } = await sandbox.ok(["stack", "export"]);
    const state = JSON.parse(stdout) as { deployment: { resources: ExportedResource[] } };
    for (const { type, inputs, outputs } of state.deployment.resources)
      if (type.endsWith(":GpuPool")) for (const kept of [inputs, outputs]) delete kept?.assignment;
    const older = join(sandbox.folder, "older.json");
    writeFileSync(older, JSON.stringify(state));
    await sandbox.ok(["stack", "import", "--file", older]);
    const before = node().grants;
    const steps = await sandbox.preview();
    expect(steps.map(({ op, urn }) => [op, urn.split("::").at(-1)])).toEqual([["update", "pool"]]);
    const { text } = await sandbox.ok(["preview"]);
    expect(text).toMatch(/berth:GpuPool\s+pool\s+update\s+\[diff: \+assignment\]/);
    expect(text.split("Outputs:")[1] ?? "").not.toMatch(/^\s*[-+~] /m);
    await sandbox.up();
    expect(node().grants).toEqual(before);
    await sandbox.quiet();
  });

  it("keeps little code in the state, and no path of this computer in it", async () => {
    const kept = await pool();
    const code = String(kept?.inputs?.__provider);
    expect(Buffer.byteLength(code)).toBeLessThan(4096);
    const all = JSON.stringify([kept?.inputs, kept?.outputs]);
    for (const place of [root, sandbox.folder, folder]) expect(all).not.toContain(place);
  });

  it("moves nobody when somebody comes in front, and shows one new line", async () => {
    const before = node().grants;
    program(["alice", "bob", "carol"]);
    const { text } = await sandbox.ok(["preview", "--diff"]);
    const [resources = ""] = text.split("--outputs:--");
    const added = resources.split("\n").filter((line) => /^\s*\+ .*1g\.10gb, /.test(line));
    expect(added.length).toBe(1);
    expect(added[0]).toContain("0:2");
    expect(text).not.toMatch(/^\s*[-~+]+.*replace/m);
    await sandbox.up();
    expect(node().grants.slice(0, 2)).toEqual(before);
    expect(held()["workspace/alice"]).toEqual(["0:2"]);
    await sandbox.quiet();
  });

  it("fails the preview with the rule's name where somebody asks for too much, and with all of them", async () => {
    program(["alice", "bob", "carol"], 2);
    const { code, text } = await sandbox.run(["preview"]);
    expect(code).not.toBe(0);
    for (const user of ["alice", "bob", "carol"]) expect(told(text, user), user).toBe(1);
    expect(text).toContain("groups.student.max_mig_instances");
  });

  it("fails the preview where there is no GPU for one of them, who is named alone", async () => {
    program(["alice", "bob", "carol", "dave"]);
    const { code, text } = await sandbox.run(["preview"]);
    expect(code).not.toBe(0);
    expect(told(text, "dave")).toBe(1);
    expect(told(text, "alice")).toBe(0);
    expect(text).not.toContain("map[");
  });

  it("shows drift in a refresh, and then keeps what is held really", async () => {
    program(["bob", "carol"]);
    await sandbox.up();
    change((now) => {
      const bob = now.grants.find(({ key }) => key === "workspace/bob");
      const [free] = inventory.gpus[0]?.instances.slice(2) ?? [];
      if (!bob?.units[0] || !free) throw new Error("nothing to move");
      bob.units = [{ ...bob.units[0], uuid: free.uuid, name: "0:2" }];
    });
    const { text } = await sandbox.ok(["refresh", "--yes", "--diff"]);
    expect(text).toMatch(/~ pulumi-nodejs:dynamic\/berth:GpuPool/);
    expect(text).toContain("0:2 1g.10gb");
    await sandbox.quiet();
    expect(held()["workspace/bob"]).toEqual(["0:2"]);
  });

  it("grants nothing else than what was shown where somebody was quicker", async () => {
    program(["bob", "carol", "erin"]);
    const plan = join(sandbox.folder, "plan.json");
    await sandbox.ok(["preview", "--save-plan", plan]);
    change((now) => {
      const [unit] = now.grants.find(({ key }) => key === "workspace/bob")?.units ?? [];
      const [free] = inventory.gpus[0]?.instances ?? [];
      if (!unit || !free) throw new Error("nothing to take");
      const token = now.nextToken++;
      now.grants.push({
        ...{
          id: "quick",
          token,
          user: "eve",
          group: "default",
          purpose: "by hand",
          createdAt: 1,
          state: "bound",
        },
        ...{
          ask: { kind: "mig", count: 1 },
          container: "c",
          units: [{ ...unit, uuid: free.uuid, name: "0:0" }],
        },
      });
    });
    const { code, text } = await sandbox.run(["up", "--yes", "--skip-preview", "--plan", plan]);
    expect(code).not.toBe(0);
    expect(told(text, "erin")).toBe(1);
    expect(text).toMatch(/0:0 by eve/);
    expect(Object.keys(held()).sort()).toEqual(["eve", "workspace/bob", "workspace/carol"]);
    change((now) => {
      now.grants = now.grants.filter(({ user }) => user !== "eve");
    });
  });

  it("takes a node without berth for a pool that is gone", async () => {
    program(["bob", "carol"]);
    change((now) => {
      now.absent = true;
    });
    await sandbox.ok(["refresh", "--yes"]);
    expect(await pool()).toBeUndefined();
    change((now) => {
      now.absent = false;
    });
    await sandbox.up();
    expect(held()).toMatchObject({ "workspace/bob": ["0:2"] });
  });

  it("frees what nobody declares any more", async () => {
    program(["carol"]);
    await sandbox.up();
    expect(Object.keys(held())).toEqual(["workspace/carol"]);
  });

  it("gives all back when it goes, and does not go while the node cannot be told", async () => {
    change((now) => {
      now.down = "ssh: connect to host 10.0.0.5 port 22: No route to host";
    });
    const stays = await sandbox.run(["destroy", "--yes", "--skip-preview"]);
    expect(stays.code).not.toBe(0);
    expect(stays.text).toContain("No route to host");
    change((now) => {
      delete now.down;
    });
    await sandbox.ok(["destroy", "--yes", "--skip-preview"]);
    expect(held()).toEqual({});
  });
});
