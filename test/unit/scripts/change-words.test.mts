/**
 * What `npm run preview` and `npm run up` say in words, from the engine's events and the program's own stages.
 * Proves: of a stage the steps and lines that change are told, of a GPU pool who gets and who gives back which unit, of
 * a container why it is replaced, or on what that depends, and that a home stays or goes; no secret, and one line for the
 * same change on many nodes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { granted } from "../../../components/gpu/units.js";
import { basePackages } from "../../../components/host/base.js";
import { renderStage } from "../../../components/host/stage.js";
import type { Assignment, GrantedUnit } from "../../../core/gpu/index.js";
import { changeWords, readSteps } from "../../../scripts/lib/change-words.mjs";
import { lineChanges, readStage, stageChanges } from "../../../scripts/lib/stage-words.mjs";
import { valueChanges } from "../../../scripts/lib/value-words.mjs";

const SECRET = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", ciphertext: "x" };
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
type Inputs = Record<string, unknown>;

/** A line of the engine's log, as the CLI writes it. */
function event(op: string, type: string, name: string, old?: Inputs, now?: Inputs, more: object = {}) {
  const keys = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])];
  const diffs = keys.filter((key) => JSON.stringify(old?.[key]) !== JSON.stringify(now?.[key]));
  const state = (inputs: Inputs | undefined) => (inputs ? { inputs, outputs: {} } : null);
  const metadata = { op, type, urn: `urn:pulumi:dev::berth::x$${type}::${name}`, diffs, detailedDiff: null };
  return JSON.stringify({
    sequence: 1,
    resourcePreEvent: {
      planning: true,
      metadata: { ...metadata, old: state(old), new: state(now), ...more },
    },
  });
}
const words = (...events: string[]) => changeWords(readSteps(events.join("\n")));
const stage = (text: string, more: Inputs = {}) => ({ create: text, update: text, ...more });
const command = (name: string, old: Inputs | undefined, now: Inputs) =>
  event(old ? "update" : "create", "command:remote:Command", name, old, now);
const labels = (owner: string, component: string, node: string) => ({
  labels: [
    { label: "berth.owner", value: owner },
    { label: "berth.component", value: component },
    { label: "berth.node", value: node },
  ],
});
const CONTAINER = "docker:index/container:Container";
const IMAGE = "docker:index/remoteImage:RemoteImage";
const POOL = "pulumi-nodejs:dynamic/berth:GpuPool";

describe("a stage", () => {
  const base = (packages: string[], timezone = "Etc/UTC", node = "node-0") =>
    stage(
      renderStage({
        name: "base",
        node,
        steps: [
          { name: "install packages", body: `apt_install ${[...basePackages, ...packages].join(" ")}` },
          { name: "time", body: `zone=${timezone}\n: "$zone"` },
        ],
      }),
    );

  it("is told with its steps and their lines", () => {
    expect(words(command("b", base(["htop"]), base(["htop", "jq"], "Europe/Berlin")))).toEqual([
      "stage base on node-0:",
      '  step "install packages"',
      "    - …sudo tzdata ufw htop",
      "    + …sudo tzdata ufw htop jq",
      '  step "time"',
      "    - zone=Etc/UTC",
      "    + zone=Europe/Berlin",
    ]);
  });

  it("is told once where many nodes have the same change", () => {
    const nodes = Array.from({ length: 6 }, (_, i) => `node-${i}`);
    const all = nodes.map((node) => command(node, base([], "Etc/UTC", node), base([], "Asia/Tokyo", node)));
    expect(words(...all)).toEqual([
      "stage base on node-0, node-1, node-2, node-3 and 2 more:",
      '  step "time"',
      "    - zone=Etc/UTC",
      "    + zone=Asia/Tokyo",
    ]);
  });

  it.each<[string, Inputs, Inputs, string]>([
    [
      "another machine",
      stage(`${base([]).create}\n# machine a`),
      stage(`${base([]).create}\n# machine b`),
      "stage base on node-0: runs again, for another machine",
    ],
    [
      "secrets",
      stage(base([]).create, { stdin: SECRET }),
      stage(base([]).create, { stdin: { ...SECRET, ciphertext: "y" } }),
      "stage base on node-0: other files or secrets than before (not shown)",
    ],
    [
      "another way to it",
      stage(base([]).create, { connection: { host: "10.0.0.1", privateKey: SECRET } }),
      stage(base([]).create, { connection: { host: "10.0.0.2", privateKey: SECRET } }),
      "stage base on node-0: connection.host: 10.0.0.1 → 10.0.0.2",
    ],
    ["a text that is not known", base([]), stage(UNKNOWN), "b: may run again: its text is not known yet"],
    ["no text of a stage's", stage("echo 1"), stage("echo 2"), "b: runs again"],
  ])("that gets %s says so", (_, old, now, said) => {
    expect(words(command("b", old, now))).toEqual([said]);
  });

  it("names who comes and goes in the documents that it is given", () => {
    const users = (...names: string[]) => names.map((name) => ({ name, uid: 20000 + name.length }));
    const input = (...names: string[]) =>
      stage(base([]).create, {
        stdin: JSON.stringify({ node: { users: users(...names) }, limits: { a: 1 } }),
      });
    expect(words(command("b", input("alice", "bob"), input("alice", "dave")))).toEqual([
      "stage base on node-0:",
      "  node.users.bob goes",
      "  node.users.dave comes",
    ]);
  });

  it("that serves a back-end no more says what becomes of all it has, first of all and loudly", () => {
    const agent = renderStage({ name: "agent", node: "node-1", steps: [{ name: "files", body: "true" }] });
    const input = (node: object) => stage(agent, { stdin: JSON.stringify({ node, limits: {} }) });
    const serving = (...names: string[]) => ({
      manager: { port: 1 },
      tenants: names.map((name) => ({ name })),
    });
    const said = (before: object, after: object) =>
      words(command("a", input(before), input(after))).filter((line) => line.startsWith("all that"));
    const stays = "stays, and its containers are stopped; its token is refused";
    const goes =
      "is deleted for good: containers with their files, volumes, main images, kept packages, logs";
    expect(said(serving("web", "bench"), serving("bench"))).toEqual([`all that web has on node-1: ${stays}`]);
    expect(said(serving("web", "bench"), {})).toEqual([
      `all that bench has on node-1: ${stays}`,
      `all that web has on node-1: ${stays}`,
    ]);
    expect(said(serving("web", "bench"), { purgeTenants: true })).toEqual([
      `all that tenants had on node-1: ${goes}`,
      `all that bench has on node-1: ${goes}`,
      `all that web has on node-1: ${goes}`,
    ]);
    // Taken out by an update before this one.
    const purge = { ...serving("bench"), purgeTenants: ["web"] };
    expect(said(serving("bench"), purge)).toEqual([`all that web has on node-1: ${goes}`]);
    // Of a node that lost the manager by one before this.
    expect(said({}, { purgeTenants: true })).toEqual([`all that tenants had on node-1: ${goes}`]);
    expect(said({ tenants: [] }, { tenants: [], purgeTenants: true })).toHaveLength(1);
    expect(said({ purgeTenants: true }, { purgeTenants: true, port: 9701 })).toEqual([]);
    expect(said(serving("web"), serving("web", "bench"))).toEqual([]);
    const all = words(command("a", input(serving("web")), input({})));
    expect(all[0]).toMatch(/^all that web has/);
  });

  it("that deletes a home says so loudly", () => {
    const purge = renderStage({ name: "purge-bob", node: "node-1", steps: [{ name: "x", body: "rm" }] });
    expect(words(command("berth-workspace-bob-purge", undefined, stage(purge)))).toEqual([
      "bob's home and other folders on node-1: are deleted for good",
    ]);
  });

  it("is read whole, and has no change against itself", () => {
    const read = readStage(base(["htop"]).create);
    expect([...(read?.steps.keys() ?? [])]).toEqual(["install packages", "time"]);
    for (const body of read?.steps.values() ?? []) expect(body).not.toBe("");
    expect(read && stageChanges(read, read)).toEqual([]);
    const quoted = renderStage({ name: "s", node: "n", steps: [{ name: "people's sockets", body: "true" }] });
    expect([...(readStage(quoted)?.steps.keys() ?? [])]).toEqual(["people's sockets"]);
  });

  it("shows lines that differ, and only those", () => {
    const line = fc.constantFrom("aa", "bb", "cc", "dd");
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.array(line, { maxLength: 6 }), (old, now) => {
        const changes = lineChanges(old.join("\n"), now.join("\n"));
        const count = (list: string[], text: string) => list.filter((one) => one === text).length;
        if (changes.some((text) => text.startsWith("…"))) return;
        for (const text of ["aa", "bb", "cc", "dd"])
          expect(count(now, text) - count(old, text)).toBe(
            count(changes, `+ ${text}`) - count(changes, `- ${text}`),
          );
        if (old.join() === now.join()) expect(changes).toEqual([]);
      }),
    );
  });
});

describe("a container", () => {
  const alice = labels("alice", "workspace", "node-0");
  const env = (...envs: string[]) => ({ ...alice, envs });

  it.each<[string, string, Inputs | undefined, Inputs | undefined, string[]]>([
    [
      "is replaced",
      "replace",
      { ...alice, cpus: "2", image: "a" },
      { ...alice, cpus: "3", image: "a" },
      ["alice's workspace on node-0:", "  is replaced", "  cpus: 2 → 3"],
    ],
    [
      "is changed",
      "update",
      { ...alice, memory: 1 },
      { ...alice, memory: 2 },
      ["alice's workspace on node-0: memory: 1 → 2"],
    ],
    ["comes", "create", undefined, alice, ["alice's workspace on node-0: is new"]],
    ["goes", "delete", alice, undefined, ["alice's workspace on node-0: goes; the home stays on the node"]],
    [
      "has other variables",
      "update",
      env("A=1", "B=2"),
      env("A=1", "C=3"),
      ["alice's workspace on node-0:", "  envs: B=2 goes", "  envs: C=3 comes"],
    ],
    [
      "of a node goes",
      "delete",
      labels("system", "node", "node-1"),
      undefined,
      ["the container of node node-1: goes"],
    ],
    ["of Ray comes", "create", undefined, labels("system", "ray", "node-1"), ["Ray on node-1: is new"]],
  ])("that %s", (_, op, old, now, said) => {
    expect(words(event(op, CONTAINER, "c", old, now))).toEqual(said);
  });

  it("that somebody changed by hand", () => {
    expect(words(event("update", CONTAINER, "c", alice, alice, { diffs: ["mustRun"] }))).toEqual([
      "alice's workspace on node-0: mustRun: is otherwise than the stack says",
    ]);
  });

  it("that has an image not built yet is replaced only where that comes out different, which is said once for all", () => {
    const built = (owner: string, component: string, node: string, more: Inputs = {}) => [
      { ...labels(owner, component, node), image: "sha256:a", ports: [] },
      { ...labels(owner, component, node), image: UNKNOWN, ports: [], ...more },
    ];
    const [node, registry, ray0, ray1, bob] = [
      built("system", "node", "node-0"),
      built("system", "registry", "node-0"),
      built("system", "ray", "node-0"),
      built("system", "ray", "node-1"),
      built("bob", "workspace", "node-1", { ports: [{ internal: 22 }] }),
    ];
    const replaced = ([old, now]: Inputs[]) => event("replace", CONTAINER, "c", old, now);
    const pulled = event("replace", IMAGE, "berth-node-0-image-ray", { name: "ray@a" }, { name: UNKNOWN });
    expect(
      words(replaced(bob), replaced(node), replaced(registry), pulled, replaced(ray0), replaced(ray1)),
    ).toEqual([
      "replaced only where the image that is built now comes out different, and kept otherwise:",
      "  the container of node node-0",
      "  the registry on node-0",
      "  berth-node-0-image-ray",
      "  Ray on node-0, node-1",
      "bob's workspace on node-1:",
      "  is replaced",
      "  image: sha256:a → (not known yet)",
      "  ports",
    ]);
  });

  it.each<[string, string, Inputs]>([
    ["another image that is known", "replace", { image: "sha256:b" }],
    ["something else that is not known", "replace", { image: "sha256:a", hostname: UNKNOWN }],
    ["an image that takes no replacement", "update", { image: UNKNOWN }],
  ])("with %s is not said to be kept", (_, op, more) => {
    const old = { ...alice, image: "sha256:a" };
    const said = words(event(op, CONTAINER, "c", old, { ...old, ...more }));
    expect(said[0]).toMatch(/^alice's workspace on node-0:/);
    expect(said.join("\n")).not.toContain("kept");
  });

  it("is told of once, though its replacement takes three steps", () => {
    const [old, now] = [
      { ...alice, cpus: "2" },
      { ...alice, cpus: "3" },
    ];
    const three = ["delete-replaced", "replace", "create-replacement"];
    expect(words(...three.map((op) => event(op, CONTAINER, "c", old, now)))).toHaveLength(3);
  });
});

describe("a GPU pool", () => {
  const unit = (name: string): GrantedUnit => ({
    ...{ uuid: `MIG-1-${name}`, gpu: "GPU-1", name, model: "NVIDIA H100 80GB HBM3" },
    ...{ memoryMiB: 9984, profile: "1g.10gb", shared: false },
  });
  const gpu = (index: number): GrantedUnit => ({
    ...{ uuid: `GPU-${index}`, gpu: `GPU-${index}`, name: `${index}`, model: "H100" },
    ...{ memoryMiB: 81559, shared: false },
  });
  const told = (name: string) => `${name} 1g.10gb, 9984 MiB of NVIDIA H100 80GB HBM3`;
  const pool = (assignment: unknown) => ({ node: "node-0", assignment });
  const changed = (old: Inputs, now: Inputs) => words(event("update", POOL, "berth-node-0-gpus", old, now));

  it.each<[string, unknown, unknown, string[]]>([
    [
      "a newcomer",
      { "workspace/alice": [unit("0:0")] },
      { "workspace/alice": [unit("0:0")], "workspace/bob": [unit("0:1")] },
      [`GPUs on node-0: bob's workspace gets ${told("0:1")}`],
    ],
    [
      "one who goes, and one who moves",
      { "workspace/alice": [unit("0:0")], ray: [gpu(1)] },
      { ray: [gpu(2)] },
      [
        "GPUs on node-0:",
        "  Ray gives back 1, 81559 MiB of H100",
        "  Ray gets 2, 81559 MiB of H100",
        `  alice's workspace gives back ${told("0:0")}`,
      ],
    ],
    ["nobody yet known", {}, UNKNOWN, ["GPUs on node-0: who gets which is known once the node has answered"]],
    ["the same", { a: [unit("0:0")] }, { a: [unit("0:0")] }, []],
    [
      "another GPU in the place of one",
      { ray: [gpu(1)] },
      { ray: [{ ...gpu(1), uuid: "GPU-9", memoryMiB: 0 }] },
      ["GPUs on node-0:", "  Ray gives back 1, 81559 MiB of H100", "  Ray gets 1, memory unknown of H100"],
    ],
    [
      "a larger share",
      { ray: [{ ...gpu(1), memoryMiB: 1, shared: true }] },
      { ray: [{ ...gpu(1), memoryMiB: 2, shared: true }] },
      ["GPUs on node-0:", "  Ray gives back 1 shared, 1 MiB of H100", "  Ray gets 1 shared, 2 MiB of H100"],
    ],
  ])("with %s", (_, old, now, said) => {
    expect(changed(pool(old), pool(now))).toEqual(said);
  });

  it("of an older version's state is told by its lines, and not told where they stay", () => {
    const old = (assignment: Assignment) => ({ node: "node-0", grants: granted(assignment).grants });
    const now = (assignment: Assignment) => ({ node: "node-0", ...granted(assignment) });
    const before = { "workspace/alice": [unit("0:0")], ray: [gpu(1)] };
    expect(changed(old(before), now(before))).toEqual([]);
    expect(changed(old(before), now({ ...before, ray: [gpu(2)] }))).toEqual([
      "GPUs on node-0:",
      "  Ray gives back 1, 81559 MiB: GPU-1 (H100)",
      "  Ray gets 2, 81559 MiB: GPU-2 (H100)",
    ]);
  });
});

describe("Ray's token", () => {
  const TOKEN = "pulumi-nodejs:dynamic/berth:RayToken";
  const token = (access: string[], generation = "0011223344556677") => ({ access, generation });
  const said = (op: string, old?: Inputs, now?: Inputs) =>
    words(event(op, TOKEN, "berth-ray-token", old, now, { diffs: [] }));

  it.each<[string, Inputs | undefined, Inputs | undefined, string]>([
    [
      "create",
      undefined,
      token(["alice", "bob"]),
      "is a new one, for alice, bob alone; where Ray runs already",
    ],
    [
      "update",
      token(["alice", "bob"]),
      token(["alice"], "8899aabbccddeeff"),
      "is another one, for alice; Ray",
    ],
    [
      "update",
      token(["alice"]),
      token([], "8899aabbccddeeff"),
      "is another one, for nobody; Ray starts anew",
    ],
    ["update", token(["alice"]), token(["alice", "bob"]), "bob gets it"],
    ["update", token(["alice", "bob"]), token(["alice"]), "bob, who leaves, has no more part in it"],
    ["delete", token(["alice"]), undefined, "is no longer for those who were named; what runs in Ray ends"],
  ])("says who has it, and when what runs in Ray ends (%s)", (op, old, now, text) => {
    const lines = said(op, old, now);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.startsWith(`Ray's token: ${text}`), lines[0]).toBe(true);
    expect(lines[0]?.includes("ends")).toBe(old?.generation !== now?.generation);
  });

  it("is silent where only who has no workspace changed", () => {
    expect(said("same", token(["alice"]), token(["alice"]))).toEqual([]);
  });
});

describe("the engine's log", () => {
  it("may be cut, hold other events, and things whose own words are enough", () => {
    const alice = labels("alice", "workspace", "node-0");
    const log = [
      '{"sequence":0,"preludeEvent":{"config":{}}}',
      event("same", CONTAINER, "c", alice, alice),
      event("update", "pulumi:providers:docker", "p", { host: "a" }, { host: "b" }),
      event("create", "berth:workspace:Workspace", "w", undefined, {}),
      event(
        "update",
        "docker:index/network:Network",
        "berth-network",
        { internal: false },
        { internal: true },
      ),
      event("create", CONTAINER, "c", undefined, alice).slice(0, -9),
    ];
    expect(words(...log)).toEqual(["berth-network: internal: false → true"]);
    expect(words("")).toEqual([]);
  });

  it("is read by what was planned, where an update follows its preview", () => {
    const made = event("create", CONTAINER, "c", undefined, labels("bob", "workspace", "n"));
    const done = made.replace('"planning":true', '"planning":false');
    expect(words(made, done)).toEqual(["bob's workspace on n: is new"]);
    expect(words(done)).toEqual(["bob's workspace on n: is new"]);
  });
});

describe("values", () => {
  it.each<[unknown, unknown, string[]]>([
    [{ a: { b: 1 } }, { a: { b: 2 } }, ["a.b: 1 → 2"]],
    [{ a: [1, 2] }, { a: [2, 3] }, ["a: 1 goes", "a: 3 comes"]],
    [{ a: [{ x: 1 }] }, { a: [{ x: 2 }] }, ["a"]],
    [{ password: SECRET }, { password: "new-password" }, ["password (secret)"]],
    [{ password: "[secret]" }, {}, ["password (secret)"]],
    [{ text: "a\nb" }, { text: "c" }, ["text"]],
    [{}, { a: "x".repeat(90) }, [`a comes: ${"x".repeat(59)}…`]],
    [{ a: 1 }, { a: 1 }, []],
  ])("%j and %j", (old, now, said) => expect(valueChanges(old, now)).toEqual(said));
});
