/** Containers that should run and do not: which they are, on whatever engine, and why. */
import { describe, expect, it } from "vitest";
import {
  type Container,
  called,
  downOf,
  expectedOf,
  readContainer,
  whyDown,
} from "../../../scripts/lib/containers.mjs";
import { assemble, problemsOf } from "../../../scripts/lib/live.mjs";
import { deployment, line, nodes, one } from "./down-helpers.mjs";

describe("why a container does not run", () => {
  it.each<[string, Partial<Container> | undefined, string]>([
    ["removed", undefined, "is no longer there"],
    ["ended", { exitCode: 3 }, "ended with status 3 at 2026-11-29T10:00:00Z"],
    [
      "out of memory",
      { exitCode: 137, oom: true },
      "ended with status 137 (out of memory) at 2026-11-29T10:00:00Z",
    ],
    [
      "not started for its device",
      { exitCode: 128, error: 'could not select device driver "cdi"\nwith capabilities: []' },
      'could not be started; Docker says: could not select device driver "cdi" with capabilities: []',
    ],
    [
      "never started",
      { state: "created", since: "0001-01-01T00:00:00Z", error: "port is already allocated" },
      "was made and never started; Docker says: port is already allocated",
    ],
    [
      "crashing",
      { state: "restarting", exitCode: 1 },
      "ended with status 1 at 2026-11-29T10:00:00Z, and is started again and again",
    ],
    ["paused", { state: "paused" }, "is paused: docker unpause goes on with it"],
    ["dead", { state: "dead" }, "is dead"],
    [
      "not described",
      { state: "unknown" },
      "could not be looked at: Docker lists it and did not describe it",
    ],
  ])("%s", (_, container, words) => {
    expect(whyDown(container && one(container))).toBe(words);
  });

  it("says what berthd says of one that it holds back, and when it is tried again", () => {
    const held = { container: "a", why: "its GPUs are not its own: busy", next: Date.UTC(2026, 10, 29, 11) };
    expect(whyDown(one({ exitCode: 128, error: "no device" }), held)).toBe(
      "could not be started; Docker says: no device; berthd holds it back: its GPUs are not its own: busy " +
        "(tried again at 2026-11-29T11:00:00Z)",
    );
  });

  it("is one short line, whatever Docker says", () => {
    const words = whyDown(one({ error: `${"x".repeat(5000)}\n${"y".repeat(5000)}` }));
    expect(words).not.toContain("\n");
    expect(words.length).toBeLessThan(500);
  });

  it.each(["\u001b]0;owned\u0007", "\u009b2J", "\u202edesrever", "\u0000", "\u2028two"])(
    "moves nothing on a terminal: %j",
    (words) => {
      const error = `mkdir /rootfs/${words}: not a directory`;
      const held = { container: "a", why: error };
      const text = whyDown(one({ exitCode: 128, error }), held);
      expect(text).toContain("not a directory");
      expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
    },
  );
});

describe("what the stack wants to run", () => {
  const expected = expectedOf(deployment);
  it("is every container that must run, with the engine that it is on", () => {
    expect(expected.map(({ name, node: on }) => [name, on])).toEqual([
      ["berth-dev-registry", undefined],
      ["berth-dev-node-1", undefined],
      ["berth-dev-ray-0", "node-0"],
      ["berth-dev-ray-1", "node-1"],
      ["berth-dev-alice", "node-0"],
    ]);
    expect(expected.map(called)).toEqual([
      "the registry",
      "the container of node node-1",
      "Ray on node-0",
      "Ray on node-1",
      "alice's workspace",
    ]);
  });
  it("leaves out who is wanted down, whether the outputs are by name or the lists of an older version", () => {
    const named = (list: { name: string }[]) => Object.fromEntries(list.map((each) => [each.name, each]));
    const resources = deployment.resources.map((each) =>
      "outputs" in each && each.outputs
        ? { ...each, outputs: { nodes: named(each.outputs.nodes), users: named(each.outputs.users) } }
        : each,
    );
    expect(expectedOf({ resources })).toEqual(expected);
  });
  it("is nothing where there is no stack yet", () => {
    for (const none of [undefined, {}, { resources: [] }]) expect(expectedOf(none)).toEqual([]);
  });

  // A refresh that was followed by no update leaves `mustRun: false` of all that was down.
  const changed = (name: string, more: object) => ({
    resources: deployment.resources.map((each) => {
      if (!("id" in each) || each.id !== `${name}-id`) return each;
      return { ...each, ...more, inputs: { ...each.inputs, mustRun: false } };
    }),
  });
  it.each(["registry", "node-1", "ray-0", "alice"])("is also what a refresh read as down: %s", (name) => {
    expect(expectedOf(changed(name, {})).map(({ id }) => id)).toContain(`${name}-id`);
  });

  it.each(["registry", "alice"])("is no longer what an update was cut off in replacing: %s", (name) => {
    const cut = expectedOf(changed(name, { pendingReplacement: true }));
    const all = [...running("registry", "node-1"), ...running("ray-0", "ray-1", "alice")];
    const left = all.filter(({ id }) => id !== `${name}-id`);
    expect(downOf(cut, () => ({ containers: left })).map(({ id, why }) => [id, why])).toEqual([
      [`${name}-id`, "was being replaced when an update was cut off"],
    ]);
  });

  const running = (...names: string[]) =>
    names.map((name) => one({ id: `${name}-id`, name: `berth-dev-${name}`, state: "running" }));
  it.each<[string, string, Partial<Container> | undefined]>([
    ["a registry that ended", "registry", { state: "exited" }],
    ["a registry that was removed", "registry", undefined],
    ["a node's container that ended", "node-1", { state: "exited" }],
    ["Ray that crashes on and on", "ray-1", { state: "restarting" }],
    ["Ray that is paused", "ray-0", { state: "paused" }],
    ["a workspace that was never started", "alice", { state: "created" }],
    ["a workspace that is dead", "alice", { state: "dead" }],
  ])("and does not: %s", (_, name, state) => {
    const engines = new Map([
      [undefined, running("registry", "node-1")],
      ["node-0", running("ray-0", "alice")],
      ["node-1", running("ray-1")],
    ]);
    const all = new Map(
      [...engines].map(([on, list]) => [
        on,
        {
          containers: list.flatMap((each) =>
            each.id === `${name}-id` ? (state ? [{ ...each, ...state }] : []) : [each],
          ),
        },
      ]),
    );
    expect(downOf(expected, (on) => all.get(on)).map((down) => [down.name, down.state])).toEqual([
      [`berth-dev-${name}`, state?.state ?? "missing"],
    ]);
    expect(downOf(expected, (on) => ({ containers: engines.get(on) ?? [] }))).toEqual([]);
  });

  it("is not known where an engine does not answer", () => {
    expect(downOf(expected, () => undefined)).toEqual([]);
  });
});

describe("status", () => {
  const user = (name: string, on: string) => ({
    ...{ name, node: on, desiredState: "running", ssh: { host: "h", port: 1 } },
    urls: { code: "", jupyter: "", tensorboard: "" },
  });
  const outputs = {
    nodes,
    users: [user("alice", "node-0")],
    ray: { address: "10.88.0.10:6379", dashboard: "http://10.88.0.10:8265" },
  };
  const parsed = (text: string) => text.split("\n").flatMap((each) => readContainer(each) ?? []);

  it("says why each of them is down, once", () => {
    const held = [{ container: "alice-id", why: "its GPUs are not its own" }];
    const answers = new Map([
      [
        "node-0",
        {
          containers: parsed(
            `${line("ray-0", "system\tray", "running")}\n${line("alice", "alice\tworkspace", "exited", '\t128\tfalse\t2026-11-29T10:00:00Z\t"no device"')}`,
          ),
          heldBack: held,
          rayNodes: 2,
        },
      ],
      [
        "node-1",
        {
          containers: parsed(line("ray-1", "system\tray", "exited", '\t1\tfalse\t2026-11-29T10:00:00Z\t""')),
          rayNodes: null,
        },
      ],
    ]);
    const engine = parsed(line("node-1", "system\tnode", "running"));
    const status = assemble("dev", outputs, answers, { expected: expectedOf(deployment), engine });
    expect(problemsOf(status, outputs)).toEqual([
      "the registry is no longer there",
      "Ray on node-1 ended with status 1 at 2026-11-29T10:00:00Z",
      "alice's workspace could not be started; Docker says: no device; berthd holds it back: its GPUs are not its own",
    ]);
    expect(status.down.map((each) => [each.container, each.node, each.state])).toEqual([
      ["berth-dev-registry", null, "missing"],
      ["berth-dev-ray-1", "node-1", "exited"],
      ["berth-dev-alice", "node-0", "exited"],
    ]);
  });

  it("says of a silent local node what became of its container, and nothing of one that is out", () => {
    const engine = parsed(
      `${line("registry", "system\tregistry", "running")}\n${line("node-1", "system\tnode", "exited", '\t137\ttrue\t2026-11-29T10:00:00Z\t""')}`,
    );
    const out = { since: "s", reason: "new disks", by: "drain" as const, keep: true };
    const answers = new Map([["node-0", { containers: [], rayNodes: 2, out }]]);
    const status = assemble("dev", outputs, answers, { expected: expectedOf(deployment), engine });
    const problems = problemsOf(status, outputs);
    expect(problems).toContain("node node-1 is unreachable");
    expect(problems).toContain(
      "the container of node node-1 ended with status 137 (out of memory) at 2026-11-29T10:00:00Z",
    );
    expect(problems.filter((text) => text.startsWith("Ray on"))).toEqual([]);
  });
});
