import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Ask,
  type GrantedUnit,
  type Inventory,
  Occupancy,
  type PlaceDefaults,
  type Refusal,
  type Result,
  type Strategy,
  unitsNamed,
} from "../../../../core/gpu";
import { gpu, h100MiB, node } from "../../../lib/core-node";

const small = ["1g.10gb", "1g.10gb", "1g.10gb"];

function occupancyOf(inventory: Inventory, live: Iterable<{ units: readonly GrantedUnit[] }>): Occupancy {
  const occupancy = new Occupancy(inventory);
  for (const { units } of live) occupancy.add(units);
  return occupancy;
}

const place = (
  inventory: Inventory,
  live: Iterable<{ units: readonly GrantedUnit[] }>,
  ask: Ask,
  defaults?: PlaceDefaults,
) => occupancyOf(inventory, live).place(ask, defaults);

/** Units by name, as live grants: `0:1`, `2`, or `2/20000` for a share. */
function held(inventory: Inventory, ...names: string[]): { units: GrantedUnit[] }[] {
  const units = [...unitsNamed(inventory).values()];
  return names.map((text) => {
    const [name, share] = text.split("/");
    const unit = units.find((one) => one.name === name);
    if (!unit) throw new Error(`no unit ${name}`);
    return { units: [share ? { ...unit, shared: true, memoryMiB: Number(share) } : unit] };
  });
}

function names(result: Result<GrantedUnit[]>): string {
  return result.ok ? result.value.map(({ name }) => name).join(" ") : `${result.refusal.code}`;
}

function refusal(result: Result<GrantedUnit[]>): Refusal {
  if (result.ok) throw new Error(`granted ${names(result)}`);
  return result.refusal;
}

const shared = { allowShared: true };
const mig = (count = 1, more: Partial<Ask> = {}): Ask => ({
  kind: "mig",
  count,
  profile: "1g.10gb",
  ...more,
});
const whole = (count = 1, more: Partial<Ask> = {}): Ask => ({ kind: "gpu", count, ...more });
const share = (memoryMiB: number, more: Partial<Ask> = {}): Ask => ({
  kind: "share",
  count: 1,
  memoryMiB,
  ...more,
});

describe("which GPU is chosen", () => {
  const three = node(gpu(0, { mig: small }), gpu(1, { mig: small }), gpu(2, { mig: small }));
  const cases: [Strategy, string[], Ask, string][] = [
    ["least-allocated", [], mig(), "0:0"],
    ["least-allocated", ["0:0"], mig(), "1:0"],
    ["least-allocated", ["0:0", "1:0", "1:1", "2:0"], mig(), "0:1"],
    ["least-allocated", ["0:0"], mig(3), "1:0 2:0 0:1"],
    ["pack", [], mig(), "0:0"],
    ["pack", ["1:0"], mig(), "1:1"],
    ["pack", ["0:0", "1:0", "1:1"], mig(), "1:2"],
    ["pack", ["0:0", "1:0", "1:1"], mig(3), "1:2 0:1 0:2"],
    ["spread", ["0:0", "1:0"], mig(2), "2:0 0:1"],
    ["spread", ["0:0", "0:1", "1:0"], mig(4), "2:0 1:1 0:2 2:1"],
  ];
  for (const [strategy, there, ask, expected] of cases) {
    it(`${strategy}: ${ask.count} beside ${there.join(" ") || "nobody"}`, () => {
      expect(names(place(three, held(three, ...there), ask, { strategy }))).toBe(expected);
    });
  }

  it("counts memory, not grants: least-allocated takes the GPU with less of it granted", () => {
    const inventory = node(gpu(0, { mig: ["3g.40gb", "1g.10gb"] }), gpu(1, { mig: [...small] }));
    // One grant of 40 GiB on GPU 0, two of 10 GiB on GPU 1.
    expect(names(place(inventory, held(inventory, "0:0", "1:0", "1:1"), mig()))).toBe("1:2");
    // Spread counts holders.
    expect(
      names(place(inventory, held(inventory, "0:0", "1:0", "1:1"), mig(1, { strategy: "spread" }))),
    ).toBe("0:1");
  });

  it("lets an ask choose its own strategy", () => {
    expect(
      names(place(three, held(three, "1:0"), mig(1, { strategy: "pack" }), { strategy: "spread" })),
    ).toBe("1:1");
  });

  it("breaks ties by index, then by UUID, whatever the order of the inventory", () => {
    const a = gpu(1, { uuid: "GPU-a" });
    const b = gpu(1, { uuid: "GPU-b" });
    for (const inventory of [node(b, a, gpu(2)), node(gpu(2), a, b)]) {
      expect(place(inventory, [], whole())).toMatchObject({ value: [{ uuid: "GPU-a" }] });
    }
  });

  it("takes the smallest instance that will do", () => {
    const inventory = node(gpu(0, { mig: ["3g.40gb", "2g.20gb", "1g.10gb"] }));
    expect(names(place(inventory, [], { kind: "mig", count: 1 }))).toBe("0:2");
    expect(names(place(inventory, [], { kind: "mig", count: 1, memoryMiB: 15_000 }))).toBe("0:1");
    expect(
      names(place(inventory, held(inventory, "0:1"), { kind: "mig", count: 1, memoryMiB: 15_000 })),
    ).toBe("0:0");
  });

  it("filters by part of the model's name, in any case, and by memory", () => {
    const inventory = node(gpu(0, { model: "NVIDIA A100", memoryMiB: 40_960 }), gpu(1));
    expect(names(place(inventory, [], whole(1, { model: "h100" })))).toBe("1");
    expect(names(place(inventory, [], whole(1, { memoryMiB: 50_000 })))).toBe("1");
    expect(names(place(inventory, [], whole(1)))).toBe("0");
  });
});

describe("whole GPUs", () => {
  const pair = (a: number, b: number) => [gpu(a, { nvlink: [`GPU-${b}`] }), gpu(b, { nvlink: [`GPU-${a}`] })];
  const pairs = node(...pair(0, 2), ...pair(1, 3));

  it("prefers NVLink neighbours", () => {
    expect(names(place(pairs, [], whole(2)))).toBe("0 2");
    expect(names(place(pairs, held(pairs, "0"), whole(2)))).toBe("1 3");
    // Only one end of the link says it.
    expect(names(place(node(gpu(0), gpu(1), gpu(2, { nvlink: ["GPU-1"] })), [], whole(2)))).toBe("1 2");
  });

  it("does without when there are none free", () => {
    expect(names(place(pairs, held(pairs, "0", "1"), whole(2)))).toBe("2 3");
    expect(names(place(pairs, [], whole(3)))).toBe("0 1 2");
  });

  it("leaves pairs and larger groups whole for those who need them", () => {
    expect(names(place(pairs, held(pairs, "1"), whole()))).toBe("3");
    const four = [1, 2, 3, 4].map((at) => gpu(at, { nvlink: [1, 2, 3, 4].map((each) => `GPU-${each}`) }));
    const inventory = node(...four, ...pair(5, 6));
    expect(names(place(inventory, [], whole(2)))).toBe("5 6");
    expect(names(place(inventory, [], whole(4)))).toBe("1 2 3 4");
  });

  it("takes the most links of a group that is not linked all to all", () => {
    // A chain 0-1-2-3 with a triangle 3-4-5.
    const links: Record<number, number[]> = { 0: [1], 1: [2], 2: [3], 3: [4, 5], 4: [5], 5: [] };
    const chain = Object.entries(links).map(([at, to]) =>
      gpu(Number(at), { nvlink: to.map((one) => `GPU-${one}`) }),
    );
    expect(names(place(node(...chain), [], whole(3)))).toBe("3 4 5");
  });

  it("never grants a GPU in MIG mode, with or without instances, nor one with shares", () => {
    const inventory = node(gpu(0, { mig: small }), gpu(1, { mig: [] }), gpu(2));
    expect(names(place(inventory, [], whole()))).toBe("2");
    expect(names(place(inventory, held(inventory, "2/1000"), whole()))).toBe("busy");
    expect(names(place(inventory, held(inventory, "2"), share(1000), shared))).toBe("busy");
    expect(names(place(inventory, [], whole(2)))).toBe("impossible");
  });
});

describe("shares", () => {
  it("are at most as large as the node's limit, where it has one", () => {
    const one = node(gpu(0));
    const limited = { allowShared: true, shareLimitMiB: 20_000 };
    expect(names(place(one, [], share(20_000), limited))).toBe("0");
    expect(refusal(place(one, [], share(20_001), limited))).toMatchObject({
      code: "over-limit",
      rule: "gpu.memoryLimit",
      allowed: "up to 20000 MiB",
    });
    expect(names(place(one, [], share(20_001), { ...limited, shareLimitMiB: 0 }))).toBe("0");
  });
  const two = node(gpu(0), gpu(1));

  it("are never beyond the GPU's memory, to the last MiB", () => {
    const live = held(two, "0/41559", "1/50000");
    expect(place(two, live, share(40_000), shared)).toMatchObject({
      value: [{ uuid: "GPU-0", memoryMiB: 40_000, shared: true }],
    });
    expect(names(place(two, live, share(40_001), shared))).toBe("busy");
    expect(names(place(two, [], share(h100MiB + 1), shared))).toBe("impossible");
  });

  it("go where the strategy says", () => {
    expect(names(place(two, held(two, "0/1000"), share(1000), shared))).toBe("1");
    expect(names(place(two, held(two, "1/1000"), share(1000, { strategy: "pack" }), shared))).toBe("1");
    expect(names(place(two, held(two, "1/81000"), share(1000, { strategy: "pack" }), shared))).toBe("0");
  });

  it("are refused where the node grants GPUs exclusively", () => {
    expect(refusal(place(two, [], share(1000)))).toMatchObject({
      code: "not-allowed",
      allowed: "kind gpu or mig",
    });
  });
});

describe("pins", () => {
  const inventory = node(gpu(0, { mig: small }), gpu(1), gpu(2, { quarantined: "Xid 79" }));
  const cases: [string, Ask, RegExp | string][] = [
    ["an instance", mig(1, { pins: ["MIG-0-2"] }), "0:2"],
    ["two, in their order", mig(2, { pins: ["MIG-0-2", "MIG-0-0"] }), "0:2 0:0"],
    ["a GPU", whole(1, { pins: ["GPU-1"] }), "1"],
    ["one that is not there", whole(1, { pins: ["GPU-9"] }), /impossible: .*GPU-9 is not on this node/],
    [
      "the wrong kind",
      mig(1, { pins: ["GPU-1"] }),
      /impossible: .*GPU-1 \(1\) is a GPU, and the ask is for mig/,
    ],
    ["a GPU in MIG mode", whole(1, { pins: ["GPU-0"] }), /impossible: .*in MIG mode/],
    [
      "another profile",
      { kind: "mig", count: 1, profile: "3g.40gb", pins: ["MIG-0-0"] },
      /impossible: .*1g\.10gb, of 9984 MiB/,
    ],
    ["one in use", mig(1, { pins: ["MIG-0-1"] }), /busy: MIG-0-1 \(0:1\) is in use/],
    ["one in quarantine", whole(1, { pins: ["GPU-2"] }), /busy: GPU-2 \(2\) is quarantined: Xid 79/],
    ["too few", mig(2, { pins: ["MIG-0-0"] }), /bad-request: 1 pins for a count of 2/],
    ["one twice", mig(2, { pins: ["MIG-0-0", "MIG-0-0"] }), /bad-request: pinned twice: MIG-0-0/],
  ];
  for (const [name, ask, expected] of cases) {
    it(name, () => {
      const result = place(inventory, held(inventory, "0:1"), ask);
      if (typeof expected === "string") expect(names(result)).toBe(expected);
      else expect(`${refusal(result).code}: ${refusal(result).message}`).toMatch(expected);
    });
  }
});

describe("refusals", () => {
  const inventory = node(
    gpu(0, { mig: ["1g.10gb", "1g.10gb", "3g.40gb"] }),
    gpu(1),
    gpu(2, { quarantined: "Xid 79" }),
  );

  it("says what the GPUs offer instead of an unknown profile", () => {
    expect(refusal(place(inventory, [], mig(1, { profile: "7g.80gb" })))).toMatchObject({
      code: "unknown-profile",
      message: "no GPU offers MIG profile 7g.80gb",
      allowed: "2 of 1g.10gb, 1 of 3g.40gb",
    });
    expect(refusal(place(node(gpu(0)), [], mig()))).toMatchObject({
      code: "unknown-profile",
      allowed: expect.stringMatching(/^no MIG/),
    });
  });

  it("tells busy from impossible", () => {
    const live = held(inventory, "0:0");
    expect(refusal(place(inventory, live, mig(2)))).toMatchObject({
      code: "busy",
      message: "2 MIG instances of 1g.10gb: 1 of 2 is free now",
      allowed: `free now: 1 whole GPU (NVIDIA H100 80GB HBM3, ${h100MiB} MiB); MIG instances: 1 of 1g.10gb, 1 of 3g.40gb`,
    });
    expect(refusal(place(inventory, live, mig(3)))).toMatchObject({
      code: "impossible",
      message: "3 MIG instances of 1g.10gb: of such, this node has 2 in all, even if everything were free",
    });
  });

  it("counts GPUs in quarantine as busy, and says so", () => {
    expect(refusal(place(inventory, held(inventory, "1"), whole()))).toMatchObject({
      code: "busy",
      message: "1 whole GPU: 0 of 2 are free now; GPU 2 is quarantined: Xid 79",
    });
    expect(refusal(place(inventory, [], whole(3))).code).toBe("impossible");
  });

  it("names an unknown model, and a node without GPUs", () => {
    expect(refusal(place(inventory, [], whole(1, { model: "B200" })))).toMatchObject({
      code: "impossible",
      message: expect.stringMatching(/"B200"/),
      allowed: expect.stringMatching(/whole GPUs .*MIG instances: 2 of 1g\.10gb/),
    });
    expect(refusal(place(node(), [], whole()))).toMatchObject({
      code: "impossible",
      message: expect.stringMatching(/no GPU$/),
    });
  });

  it("says all that is wrong with an ask at once", () => {
    const ask = { kind: "tpu", count: 0, memoryMiB: -1, strategy: "luck" } as unknown as Ask;
    expect(refusal(place(inventory, [], ask))).toMatchObject({
      code: "bad-request",
      message: expect.stringMatching(/kind "tpu".*count 0.*memory of -1 MiB.*strategy "luck"/),
      allowed: expect.stringContaining("least-allocated, pack, spread"),
    });
    expect(refusal(place(inventory, [], { kind: "share", count: 2 }, shared)).message).toMatch(
      /of one GPU, not of 2; a share says nothing of its memory/,
    );
    expect(refusal(place(inventory, [], whole(1, { profile: "1g.10gb" }))).message).toMatch(
      /belongs to kind mig/,
    );
  });
});

describe("a GPU that was divided anew under its holder", () => {
  const before = node(gpu(0, { mig: small }), gpu(1, { mig: small }));
  const after = node(gpu(0, { mig: ["3g.40gb"] }), gpu(1, { mig: small }));
  const renamed = { ...after.gpus[0], instances: [{ ...after.gpus[0]?.instances[0], uuid: "MIG-new" }] };
  const inventory = { ...after, gpus: [renamed, after.gpus[1]] } as Inventory;

  it("grants nothing new until the holder is gone", () => {
    const live = held(before, "0:0");
    const ask = mig(1, { profile: "3g.40gb" });
    expect(refusal(place(inventory, live, ask))).toMatchObject({
      code: "busy",
      message: expect.stringMatching(/GPU 0 was divided anew/),
    });
    expect(names(place(inventory, [], ask))).toBe("0:0");
    expect(names(place(inventory, live, mig(3)))).toBe("1:0 1:1 1:2");
    expect(names(place(inventory, live, mig(4)))).toBe("impossible");
  });
});

describe("the incremental index", () => {
  const inventory = node(
    gpu(0, { nvlink: ["GPU-1"] }),
    gpu(1),
    gpu(2),
    gpu(3, { mig: small }),
    gpu(4, { mig: ["3g.40gb", "2g.20gb", "1g.10gb"] }),
  );
  const ask = fc.constantFrom<Ask>(
    whole(),
    whole(2),
    mig(),
    mig(2, { strategy: "spread" }),
    mig(1, { profile: undefined, strategy: "pack" }),
    mig(1, { profile: "3g.40gb" }),
    share(30_000),
    share(50_000, { strategy: "pack" }),
    share(20_000, { strategy: "spread" }),
  );

  it("answers as one made anew, whatever came and went", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ask, fc.nat(3), fc.nat(99)), { maxLength: 60 }), (steps) => {
        const kept = new Occupancy(inventory);
        const live: { units: GrantedUnit[] }[] = [];
        for (const [one, what, which] of steps) {
          if (what === 0 && live.length > 0) {
            for (const { units } of live.splice(which % live.length, 1)) kept.remove(units);
          }
          const result = kept.place(one, shared);
          expect(result).toEqual(place(inventory, live, one, shared));
          if (!result.ok) continue;
          kept.add(result.value);
          live.push({ units: result.value });
        }
      }),
      { numRuns: 200 },
    );
  });
});
