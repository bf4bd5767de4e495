/**
 * GPUs and limits in the configuration.
 * Proves: every mistake is said at preview with its place and what is allowed, the rule named; what is right becomes
 * the plan; a limits document is read from berth:limits whole.
 */
import { describe, expect, it } from "vitest";
import { defaultLimitsDocument } from "../../../core/limits";
import { alice, H100, node, stack, texts } from "./gpu-helpers";
import { droplet, dropletStack, load, metal, metalStack, paths, problems } from "./helpers";

describe("defaults", () => {
  it("are exclusive, on the loopback, and with the usual groups", () => {
    const plan = load(stack());
    expect(plan.gpu).toEqual({ strategy: "least-allocated", allocation: "exclusive", memoryLimitMiB: 0 });
    expect(plan.agent).toEqual({ listen: "loopback", port: 9700 });
    expect(plan.limits).toEqual(defaultLimitsDocument);
    expect(load({ ...stack(), gpu: {}, limits: {}, agent: {} })).toEqual(plan);
    expect(plan.users[0]).toMatchObject({ group: "default" });
    expect(plan.users[0]).not.toHaveProperty("gpu");
    expect(plan.nodes[0]).not.toHaveProperty("gpus");
  });
});

describe("images of which people may make containers", () => {
  it("are named by id or digest", () => {
    const images = [`sha256:${"ab".repeat(32)}`, `docker.io/library/python@sha256:${"0f".repeat(32)}`];
    expect(load({ ...stack(), agent: { images } }).agent.images).toEqual(images);
    expect(problems({ ...stack(), agent: { images: ["python:3.13", ...images] } })).toMatchObject([
      { path: "berth:agent.images[0]", problem: "is no image by its content" },
    ]);
  });
});

describe("the plan", () => {
  it("has the declared GPUs of each node, the groups and the asks", () => {
    const plan = load(
      stack({
        node: {
          gpus: [
            { ...H100, count: 2, mig: ["1g.10gb", "3g.40gb", "1g.10gb"], nvlink: true },
            { model: "NVIDIA L4", memory: "24GiB" },
            { ...H100, mig: [] },
          ],
        },
        user: {
          group: "researcher",
          gpu: { kind: "mig", profile: "1g.10gb", count: 2, memory: "8GiB", strategy: "pack" },
        },
        gpu: { allocation: "shared", memoryLimit: "16GiB", strategy: "spread" },
      }),
    );
    expect(plan.nodes[0]?.gpus).toEqual([
      { model: H100.model, memoryMiB: 81920, count: 2, mig: { "1g.10gb": 2, "3g.40gb": 1 }, nvlink: true },
      { model: "NVIDIA L4", memoryMiB: 24576, count: 1, nvlink: false },
      { model: H100.model, memoryMiB: 81920, count: 1, mig: {}, nvlink: false },
    ]);
    expect(plan.users[0]).toMatchObject({
      group: "researcher",
      gpu: { kind: "mig", count: 2, profile: "1g.10gb", memoryMiB: 8192, strategy: "pack" },
    });
    expect(plan.gpu).toEqual({ strategy: "spread", allocation: "shared", memoryLimitMiB: 16384 });
  });

  it("takes GPUs on nodes of every kind, and a node that has none", () => {
    for (const config of [
      { ...metalStack, nodes: [metal(0, { gpus: [H100] })] },
      { ...dropletStack, nodes: [droplet(0, { gpus: [H100] })] },
      { nodes: [node({ gpus: [H100] })] },
    ])
      expect(load(config).nodes[0]?.gpus).toHaveLength(1);
    expect(load(stack({ node: { gpus: [] } })).nodes[0]?.gpus).toEqual([]);
  });

  it("gives a user the group with the highest priority", () => {
    const limits = { groups: { low: { priority: 1 }, high: { priority: 2, members: ["alice"] } } };
    expect(load(stack({ limits, user: { group: "low" } })).users[0]?.group).toBe("high");
  });

  it("divides GPUs by gpu_allocation where the node does not say", () => {
    const limits = { gpu_allocation: { enable_mig: true, mig_profile: "2g.20gb" } };
    const gpus = [H100, { ...H100, mig: false }, { model: "NVIDIA L4", memory: "24GiB" }];
    expect(load(stack({ limits, node: { gpus } })).nodes[0]?.gpus?.map(({ mig }) => mig)).toEqual([
      { "2g.20gb": 3 },
      undefined,
      undefined,
    ]);
    const own = { nvidia: { mig: [{ gpu: 0, layout: "all-disabled" }] } };
    const nodes = [metal(0), metal(1, { runtime: own }), metal(2, { runtime: { gpu: "off" } })];
    const plan = load({ ...metalStack, nodes, limits });
    expect(plan.nodes.map(({ runtime }) => runtime.nvidia?.mig)).toEqual([
      // Not an error on a GPU that lacks the profile, unlike what a node's operator writes.
      [{ gpu: "all", layout: "all-2g.20gb", optional: true }],
      own.nvidia.mig,
      undefined,
    ]);
    // A local node has no GPU of its own, and enable_mig: false divides nothing.
    expect(load(stack({ limits })).nodes[0]?.runtime).toEqual({});
    const off = load({ ...metalStack, limits: { gpu_allocation: { enable_mig: false } } });
    expect(off.nodes[0]?.runtime).toEqual({});
  });
});

describe("berth:limits", () => {
  it("is read as on a node, null included", () => {
    const limits = {
      defaults: { max_cpus: 8, memory: "32g", idle_timeout: null, gpu_hold_after_stop: "0.25h" },
      groups: { admin: { max_mig_instances: null, members: ["alice"] } },
      user_overrides: { alice: { max_runtime: null } },
    };
    expect(load(stack({ limits })).limits).toEqual({ ...defaultLimitsDocument, ...limits });
  });

  const builtIn = Object.keys(defaultLimitsDocument.groups ?? {});
  it.each<[string, object, string[]]>([
    ["nothing", {}, builtIn],
    ["defaults", { defaults: { max_cpus: 8 } }, builtIn],
    ["policies", { policies: { alert_at: 0.5 } }, builtIn],
    ["user_overrides", { user_overrides: { alice: { max_cpus: 8 } } }, builtIn],
    ["gpu_allocation", { gpu_allocation: { mig_profile: "1g.10gb" } }, builtIn],
    ["a group of its own", { groups: { staff: {} } }, ["staff"]],
    ["no groups", { groups: {} }, []],
  ])("with %s keeps the built-in parts that it does not write", (_, limits, groups) => {
    const found = load(stack({ limits })).limits;
    expect(found).toEqual({ ...defaultLimitsDocument, ...limits });
    expect(Object.keys(found.groups ?? {})).toEqual(groups);
  });

  it("says of a built-in group that was taken away where it went", () => {
    const [found] = problems(stack({ limits: { groups: { staff: {} } }, user: { group: "researcher" } }));
    expect(found?.allowed).toBe(
      'staff; berth:limits.groups stands in place of the built-in groups: write "researcher" there too',
    );
  });

  it("says all its problems where they stand, beside those of the rest", () => {
    const config = stack({
      limits: {
        defaults: { memory: 32, max_cpu: 1 },
        groups: { student: { members: ["alice", "Nobody"], idle_timeout: "soon" } },
        user_overrides: { zoe: {} },
      },
      agent: { port: 0 },
      user: { gpu: { kind: "tpu" } },
    });
    expect(paths(config).sort()).toEqual(
      [
        "limits.defaults.memory",
        "limits.defaults.max_cpu",
        "limits.groups.student.members[1]",
        "limits.groups.student.idle_timeout",
        "agent.port",
        "users[0].gpu.kind",
      ].sort(),
    );
    const memory = problems(config).find(({ path }) => path === "berth:limits.defaults.memory");
    expect(memory).toMatchObject({
      value: 32,
      problem: "is not a size",
      allowed: expect.stringContaining("32g"),
    });
  });

  it("knows the stack's users and groups", () => {
    const limits = {
      groups: { student: { members: ["alice", "bob"] } },
      user_overrides: { carol: {}, alice: {} },
    };
    expect(texts(stack({ limits, user: { group: "teacher" } }))).toEqual([
      "berth:limits.groups.student.members[1]: is no user of this stack | alice",
      "berth:limits.user_overrides.carol: is no user of this stack | alice",
      "berth:users[0].group: is no group of berth:limits | student",
    ]);
    expect(paths(stack({ user: { group: "constructor" } }))).toEqual(["users[0].group"]);
  });

  it("refuses users of one node and group whose slices would be one", () => {
    const users = [alice({ name: "a-b" }), alice({ name: "a_b", index: 1 })];
    expect(paths(stack({ users }))).toEqual(["users[1].name"]);
    const apart = [users[0], { ...users[1], group: "student" }] as object[];
    expect(paths(stack({ users: apart }))).toEqual([]);
  });

  it("holds for the workspaces that the stack declares, rule by rule", () => {
    const limits = {
      defaults: { max_cpus: 1, memory: "2g", shm_size: "1GiB" },
      user_overrides: { alice: { memory: "1GiB" } },
    };
    const user = { cpus: 2, memory: "1536MiB", shm: "512MiB" };
    expect(texts(stack({ limits, user }))).toEqual([
      "berth:users[0].cpus: is 1 more than defaults.max_cpus of berth:limits allows | at most 1, or a larger defaults.max_cpus",
      "berth:users[0].memory: is 512MiB more than user_overrides.alice.memory of berth:limits allows | at most 1GiB, or a larger user_overrides.alice.memory",
    ]);
    // What the stack says for all counts as well.
    expect(
      paths(stack({ limits: { defaults: { shm_size: "100MiB" } }, workspaces: { shm: "101MiB" } })),
    ).toEqual(["users[0].shm"]);
    expect(paths(stack({ limits, user: { ...user, state: "removed" } }))).toEqual([]);
    expect(paths(stack({ limits: { defaults: { max_containers_per_user: 0 } } }))).toEqual(["users[0]"]);
  });
});

describe("declared GPUs", () => {
  it.each<[string, object[], string, string, string]>([
    [
      "a profile of another model",
      [{ ...H100, mig: ["1g.5gb"] }],
      "gpus[0].mig",
      'has "1g.5gb", which H100 80GB does not offer',
      "1g.10gb, 1g.10gb+me, 1g.20gb, 2g.20gb, 3g.40gb, 4g.40gb, 7g.80gb",
    ],
    [
      "too many instances",
      [H100, { ...H100, mig: { "3g.40gb": 2, "1g.10gb": 1 } }],
      "gpus[1].mig",
      "does not fit on one GPU (H100 80GB)",
      "at most 2 × 3g.40gb, 7 × 1g.10gb, each alone on a GPU",
    ],
    [
      "a layout of a GPU that cannot be divided",
      [{ model: "NVIDIA L4", memory: "24GiB", mig: ["1g.6gb"] }],
      "gpus[0].mig",
      'divides "NVIDIA L4", and Berth knows no GPU of that name that can be (MIG)',
      "no mig, or a model such as A100 40GB",
    ],
    [
      "hardly any memory",
      [{ ...H100, memory: "1MiB" }],
      "gpus[0].memory",
      "is less than any GPU has",
      "256MiB",
    ],
    ...["NVIDIA H100\nfoo", "NVIDIA\u0007", "GPU @COUNT@", "NVIDIA|H100", "a\u2028b"].map(
      (model): [string, object[], string, string, string] => [
        `the model ${JSON.stringify(model)}`,
        [H100, { ...H100, model }],
        "gpus[1].model",
        "has characters that no GPU's name has",
        "printable ASCII without @ and |",
      ],
    ),
    [
      "more than a node has",
      [{ ...H100, count: 64 }, H100],
      "gpus",
      "is more GPUs than a node may declare",
      "64",
    ],
  ])("with %s are refused", (_, gpus, path, problem, allowed) => {
    const found = problems(stack({ node: { gpus } }));
    expect(found).toMatchObject([
      { path: `berth:nodes[0].${path}`, problem, allowed: expect.stringContaining(allowed) },
    ]);
  });

  it("take the names that cards have", () => {
    for (const model of ["Quadro RTX 6000/8000", "Tesla V100-SXM2-16GB", "~A{x} (a, <b> & 'c') [d]: 100%"])
      expect(load(stack({ node: { gpus: [{ model, memory: "24GiB" }] } })).nodes[0]?.gpus?.[0]?.model).toBe(
        model,
      );
  });

  it.each<[string, object]>([
    ["no model", { memory: "1GiB" }],
    ["none of them", { ...H100, count: 0 }],
    ["MIG of yes", { ...H100, mig: true }],
    ["nine instances", { ...H100, mig: { "1g.10gb": 9 } }],
    ["an unknown key", { ...H100, uuid: "GPU-1" }],
    ["memory as a number", { ...H100, memory: 80 }],
  ])("with %s have the wrong shape", (_, gpu) =>
    expect(paths(stack({ node: { gpus: [gpu] } }))[0]).toContain("nodes[0].gpus[0]"),
  );

  it("are not divided against gpu_allocation, nor beside real ones", () => {
    const never = { gpu_allocation: { enable_mig: false } };
    expect(paths(stack({ limits: never, node: { gpus: [{ ...H100, mig: ["1g.10gb"] }] } }))).toEqual([
      "nodes[0].gpus[0].mig",
    ]);
    const nvidia = { mig: [{ gpu: 0, layout: "all-1g.10gb" }] };
    expect(paths({ ...metalStack, limits: never, nodes: [metal(0, { runtime: { nvidia } })] })).toEqual([
      "limits.gpu_allocation.enable_mig",
    ]);
    expect(paths({ ...metalStack, nodes: [metal(0, { runtime: { nvidia }, gpus: [H100] })] })).toEqual([
      "nodes[0].runtime.nvidia.mig",
    ]);
    expect(paths(stack({ limits: { gpu_allocation: { mig_profile: "1g.11gb" } } }))).toEqual([
      "limits.gpu_allocation.mig_profile",
    ]);
  });
});
