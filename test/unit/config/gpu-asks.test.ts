/**
 * What users ask for in the configuration, and berthd's port.
 * Proves: an ask that the node cannot meet or the rules do not allow fails the preview with what there is, or the rule's
 * name; berthd's port takes part in the port plan, and is open to the stack's nodes with `private` alone.
 */
import { describe, expect, it } from "vitest";
import { nodeOpenings, openings } from "../../../config";
import { namedRanges } from "../../../config/network/ports";
import { migModelOf } from "../../../core/gpu";
import { checkAsk, defaultLimitsDocument, parseLimits, resolveLimits } from "../../../core/limits";
import { alice, asking, H100, stack, texts } from "./gpu-helpers";
import { dropletStack, load, metal, metalStack, paths, problems } from "./helpers";

describe("what a user asks for", () => {
  it("is taken where the node has it and the rules allow it", () => {
    for (const [gpu, group] of [
      [{ kind: "mig" }, "student"],
      [{ kind: "mig", profile: "1g.10gb", model: "h100" }, "student"],
      [{ kind: "mig", count: 2 }, "researcher"],
      [{ kind: "gpu", count: 2, memory: "80GiB" }, "researcher"],
    ] as const)
      expect(texts(asking(gpu, { group })), JSON.stringify(gpu)).toEqual([]);
    const shared = { gpu: { allocation: "shared", memoryLimit: "16GiB" } };
    expect(texts(asking({ kind: "share", memory: "16GiB" }, shared))).toEqual([]);
    // What a real machine has is not known before it is there.
    expect(paths({ ...metalStack, users: [{ ...alice(), node: "metal-0", gpu: { kind: "mig" } }] })).toEqual(
      [],
    );
  });

  it.each<[string, object, object, string, string, string]>([
    [
      "a profile that the node has not made",
      { kind: "mig", profile: "3g.40gb" },
      {},
      "profile",
      'node "node-0" has no MIG instance 3g.40gb that would do',
      "1 × NVIDIA H100 80GB HBM3, each as 7 × 1g.10gb; 2 × NVIDIA H100 80GB HBM3, whole, 80GiB",
    ],
    [
      "a profile of no GPU",
      { kind: "mig", profile: "1g.11gb" },
      {},
      "profile",
      "has no MIG profile",
      "H100 80GB: 1g.10gb",
    ],
    [
      "another model",
      { kind: "mig", model: "A100" },
      {},
      "kind",
      'node "node-0" has no MIG instance that would do',
      "NVIDIA H100",
    ],
    [
      "more than the node has",
      { kind: "gpu", count: 3 },
      { group: "admin" },
      "count",
      'node "node-0" has 2 in all that would do',
      "2 × NVIDIA H100 80GB HBM3, whole",
    ],
    [
      "larger GPUs",
      { kind: "gpu", memory: "81GiB" },
      { group: "admin" },
      "kind",
      "that would do",
      "whole, 80GiB",
    ],
    [
      "more than a container may have",
      { kind: "mig", count: 3 },
      { group: "researcher" },
      "count",
      "3 for one container, and alice may have 2 (rule groups.researcher.max_gpus_per_container)",
      "up to 2",
    ],
    [
      "a full GPU that is not allowed",
      { kind: "gpu" },
      { group: "student" },
      "kind",
      "alice may not have whole GPUs (rule groups.student.allow_full_gpu)",
      "MIG instances",
    ],
    [
      "a share of exclusive GPUs",
      { kind: "share", memory: "8GiB" },
      {},
      "kind",
      "one container each here (rule gpu.allocation)",
      "shared",
    ],
    [
      "a share beyond the limit",
      { kind: "share", memory: "17GiB" },
      { gpu: { allocation: "shared", memoryLimit: "16GiB" } },
      "memory",
      "1024 MiB more than one may have here (rule gpu.memoryLimit)",
      "up to 16384 MiB",
    ],
    [
      "a share of nothing",
      { kind: "share" },
      { gpu: { allocation: "shared" } },
      "memory",
      "says nothing",
      "how much",
    ],
  ])("is refused when it is %s", (_, gpu, more, path, problem, allowed) => {
    expect(problems(asking(gpu, more))).toMatchObject([
      {
        path: `berth:users[0].gpu.${path}`,
        problem: expect.stringContaining(problem),
        allowed: expect.stringContaining(allowed),
      },
    ]);
  });

  it("needs a node with GPUs", () => {
    const gpu = { kind: "mig" };
    expect(texts(stack({ user: { gpu } }))).toEqual([
      'berth:users[0].gpu.kind: local node "node-0" has no GPU | GPUs declared under gpus of the node, or no gpu here',
    ]);
    expect(paths(stack({ node: { gpus: [] }, user: { gpu } }))).toEqual(["users[0].gpu.kind"]);
    const off = { ...metalStack, nodes: [metal(0, { runtime: { gpu: "off" } })] };
    expect(paths({ ...off, users: [{ ...alice({ gpu }), node: "metal-0" }] })).toEqual(["users[0].gpu.kind"]);
    expect(paths(stack({ user: { gpu, state: "removed" } }))).toEqual([]);
  });

  it("may not be limited in shares that there are not", () => {
    expect(paths(stack({ gpu: { memoryLimit: "1GiB" } }))).toEqual(["gpu.memoryLimit"]);
  });
});

describe("berthd's port", () => {
  it("takes part in the port plan, unless it is off", () => {
    const ports = { users: { start: 9000, blocks: 8 } };
    expect(texts(stack({ ports }))[0]).toContain("berthd's API (9700-9700) overlap");
    expect(paths(stack({ ports: { ray: { gcs: 9701 } }, agent: { port: 9701 } }))).toEqual(["agent.port"]);
    expect(paths(stack({ ports, agent: { listen: "off" } }))).toEqual([]);
    expect(paths(stack({ agent: { port: 40000 } }))).toEqual(["agent.port"]);
    expect(namedRanges(load(stack()).ports).find(({ path }) => path === "berth:agent.port")).toMatchObject({
      start: 9700,
      end: 9700,
    });
  });

  it("is open to the stack's nodes with private alone", () => {
    const stacks = (listen: string) => [
      load({ ...metalStack, agent: { listen } }),
      load({ ...dropletStack, agent: { listen } }),
    ];
    for (const plan of [...stacks("loopback"), ...stacks("off")]) {
      for (const one of plan.nodes)
        expect(nodeOpenings(plan, one).filter(({ what }) => what === "berthd's API")).toEqual([]);
      expect(openings(plan).filter(({ what }) => what === "berthd's API")).toEqual([]);
    }
    const [bare, cloud] = stacks("private");
    if (!bare || !cloud) throw new Error("no plans");
    for (const one of bare.nodes)
      expect(nodeOpenings(bare, one)).toContainEqual({
        what: "berthd's API",
        protocol: "tcp",
        ports: [{ start: 9700, end: 9700 }],
        from: ["10.0.0.10", "10.0.0.11"],
      });
    // Two droplets, one opening.
    expect(openings(cloud).filter(({ what }) => what === "berthd's API")).toMatchObject([
      { from: ["10.110.0.0/20"] },
    ]);
  });
});

describe("models", () => {
  it.each<[string, number, string | undefined]>([
    ["NVIDIA A100-SXM4-40GB", 40960, "A100 40GB"],
    ["NVIDIA A100 80GB PCIe", 81920, "A100 80GB"],
    ["NVIDIA A30", 24576, "A30"],
    ["NVIDIA H100 80GB HBM3", 81559, "H100 80GB"],
    ["NVIDIA H100 NVL", 95830, "H100 94GB"],
    ["NVIDIA GH200 480GB", 97871, "H100 96GB"],
    ["NVIDIA GH200 144G HBM3e", 147456, "GH200 144GB"],
    ["NVIDIA H200", 143771, "H200 141GB"],
    ["NVIDIA GB200", 189471, "GB200"],
    ["NVIDIA L4", 24576, undefined],
    ["NVIDIA A10G", 24576, undefined],
    ["", 0, undefined],
  ])("%s is %s", (model, memoryMiB, name) => expect(migModelOf(model, memoryMiB)?.name).toBe(name));
});

describe("Ray's GPUs", () => {
  const gpus = [
    { ...H100, mig: { "1g.10gb": 7 } },
    { ...H100, count: 2 },
  ];
  const withRay = (gpu: object, more: object = {}) => stack({ node: { gpus, ray: { gpu } }, ...more });

  it("are the operator's word: no limit of users holds", () => {
    const plan = load(withRay({ kind: "gpu", count: 2 }));
    expect(plan.nodes[0]?.ray).toMatchObject({ gpu: { kind: "gpu", count: 2 } });
    const limits = resolveLimits(plan.limits, "system");
    expect(checkAsk(limits, { kind: "gpu", count: 99 }, { allowShared: false })).toEqual([]);
    // What the node gets is a document that it takes.
    expect(parseLimits(JSON.parse(JSON.stringify(plan.limits)))).toMatchObject({ ok: true });
    // Without GPUs for Ray nothing is added.
    expect(load(stack()).limits).toEqual(defaultLimitsDocument);
  });

  it("are refused where the node has none such, or Ray is off", () => {
    expect(paths(withRay({ kind: "gpu", count: 3 }))).toEqual(["nodes[0].ray.gpu.count"]);
    expect(paths(withRay({ kind: "mig", profile: "3g.40gb" }))).toEqual(["nodes[0].ray.gpu.profile"]);
    expect(paths(withRay({ kind: "gpu" }, { ray: { enabled: false } }))).toEqual(["nodes[0].ray.gpu"]);
    expect(paths(stack({ node: { ray: { gpu: { kind: "gpu" } } } }))).toEqual(["nodes[0].ray.gpu.kind"]);
  });
});
