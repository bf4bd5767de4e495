import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { provider } from "../../../../components/gpu/provider";
import {
  declaredInventory,
  type Gpu,
  type Grant,
  heldLayouts,
  type Inventory,
  unseenLayouts,
} from "../../../../core/gpu";
import { FakeSsh } from "../../../fakes/ssh";
import { grant as bound, inputs, inventory as slices, snapshot } from "../../components/gpu/pool-helpers";

const GiB = 1024;
const inventory = (...layouts: (string[] | false)[]): Inventory =>
  declaredInventory(
    layouts.map((mig) => ({ model: "NVIDIA H100 80GB HBM3", memoryMiB: 80 * GiB, ...(mig ? { mig } : {}) })),
    "node-0",
  );

const sevenths = Array<string>(7).fill("1g.10gb");
const halves = ["3g.40gb", "3g.40gb"];

/** A grant of the first instance of a GPU, or of all of it. */
function grant(user: string, of: Inventory, index: number, more: Partial<Grant> = {}): Grant {
  const gpu = of.gpus[index];
  const uuid = gpu?.instances[0]?.uuid ?? gpu?.uuid ?? "";
  const unit = { uuid, gpu: gpu?.uuid ?? "", name: `${index}:0`, model: "H100", memoryMiB: 1, shared: false };
  return {
    ...{ id: `g-${user}`, token: 1, user, group: "student", ask: { kind: "mig", count: 1 }, units: [unit] },
    ...{ state: "held", purpose: "work", createdAt: 1, ...more },
  } as Grant;
}

describe("a GPU that is to be divided anew", () => {
  const now = inventory(sevenths, sevenths, false);

  it("may be while nobody holds any of it, whoever holds others", () => {
    const declared = inventory(sevenths, halves, sevenths);
    expect(heldLayouts(now, [grant("alice", now, 0)], { declared })).toEqual([]);
  });

  it("says who holds what, also a stopped container's, for each GPU", () => {
    const declared = inventory(halves, sevenths, sevenths);
    const said = heldLayouts(
      now,
      [
        grant("alice", now, 0, { key: "workspace/alice", state: "bound" }),
        grant("bob", now, 0),
        grant("carol", now, 2),
        grant("dan", now, 1),
      ],
      { declared },
    );
    expect(said).toHaveLength(2);
    expect(said[0]).toContain(
      `GPU 0 (${now.gpus[0]?.uuid}) is 7 × 1g.10gb and is to be divided into 2 × 3g.40gb, and ` +
        "alice (workspace/alice) holds 0:0; bob (g-bob) holds 0:0. A GPU is divided anew only while nobody",
    );
    expect(said[1]).toContain(
      "is not divided and is to be divided into 7 × 1g.10gb, and carol (g-carol) holds",
    );
  });

  it("is refused also where it is no longer declared", () => {
    const declared = inventory(sevenths);
    expect(heldLayouts(now, [grant("carol", now, 2)], { declared })[0]).toContain(
      "is no longer declared, and carol",
    );
    expect(heldLayouts(now, [grant("alice", now, 0)], { declared })).toEqual([]);
  });

  it.each([
    ["nothing", {}],
    ["layouts for the driver's GPUs", { mig: [{ gpu: 0, layout: "all-1g.10gb" }] }],
  ])("is refused where the stack declares none any more, but %s", (_, wanted) => {
    expect(heldLayouts(now, [grant("carol", now, 2), grant("bob", now, 1)], wanted)).toEqual([
      expect.stringContaining("is no longer declared, and bob"),
      expect.stringContaining("is no longer declared, and carol"),
    ]);
    expect(heldLayouts(now, [], wanted)).toEqual([]);
  });

  it("resets no other where it is declared", () => {
    const declared = inventory(sevenths, sevenths, sevenths);
    expect(heldLayouts(now, [grant("alice", now, 0)], { declared })).toEqual([]);
  });
});

describe("a GPU of the node's own driver", () => {
  const now: Inventory = { ...inventory(sevenths, false), source: "nvidia-smi" };
  const held = [grant("alice", now, 0), grant("bob", now, 1)];
  const uuid = now.gpus[1]?.uuid ?? "";
  it.each([
    ["nothing is said", [], []],
    ["all as it is", [{ gpu: 0, layout: "all-1g.10gb" }], []],
    ["the same by count", [{ gpu: 0, layout: { "1g.10gb": 7 } }], []],
    ["off, and it is", [{ gpu: uuid, layout: "all-disabled" }], []],
    ["other instances", [{ gpu: 0, layout: { "3g.40gb": 2 } }], ["is to be divided into 2 × 3g.40gb"]],
    [
      "off, for which the other is reset too",
      [{ gpu: 0, layout: "all-disabled" }],
      [
        "is 7 × 1g.10gb and is to be whole, which switches its MIG mode and so resets all GPUs of the node, and alice",
        `GPU 1 (${uuid}) would be reset, since the MIG mode of GPU 0 is switched, which resets all GPUs of the node, and bob`,
      ],
    ],
    [
      "on, by its UUID",
      [{ gpu: uuid, layout: "all-1g.10gb" }],
      ["would be reset, since the MIG mode of GPU 1", "is not divided and is to be divided into 7"],
    ],
    [
      "all of them",
      [{ gpu: "all", layout: "all-2g.20gb" }],
      ["divided into 3 × 2g.20gb", "into 3 × 2g.20gb"],
    ],
  ] as const)("%s", (_, mig, expected) => {
    const said = heldLayouts(now, held, { mig: [...mig] as never });
    expect(said).toEqual(expected.map((part) => expect.stringContaining(part)));
  });

  it("is reset for another one's sake only where MIG goes on or off, and only somebody's", () => {
    const [, bob] = held;
    if (!bob) throw new Error("unreachable");
    expect(heldLayouts(now, [bob], { mig: [{ gpu: 0, layout: { "3g.40gb": 2 } }] })).toEqual([]);
    expect(heldLayouts(now, [bob], { mig: [{ gpu: 0, layout: "all-disabled" }] })).toHaveLength(1);
    expect(heldLayouts(now, [], { mig: [{ gpu: 0, layout: "all-disabled" }] })).toEqual([]);
  });

  // The preview that comes before an upgrade asks the berthd of before, which does not know what its driver offers.
  it.each([
    ["Tesla T4", 15360, {}],
    ["Tesla T4", 15360, undefined],
    ["NVIDIA L4", 23034, undefined],
    ["NVIDIA A10", 23028, undefined],
    ["NVIDIA RTX A6000", 49140, undefined],
    ["NVIDIA DGX Display", 4096, undefined],
  ] as const)(
    "is left alone by a layout for all of them where it cannot be divided: %s, %i MiB, offers %j",
    (...one) => {
      const [model, memoryMiB, profiles] = one;
      const [first, second] = now.gpus;
      if (!first || !second) throw new Error("unreachable");
      const other: Gpu = { ...second, model, memoryMiB, ...(profiles && { profiles }) };
      const mixed: Inventory = { ...now, gpus: [first, other] };
      for (const layout of [{ "1g.10gb": 7 }, "all-1g.10gb"] as const)
        expect(heldLayouts(mixed, held, { mig: [{ gpu: "all", layout }] })).toEqual([]);
    },
  );

  describe("of a model that Berth does not know", () => {
    const [first, second] = now.gpus;
    if (!first || !second) throw new Error("unreachable");
    type Profiles = Record<string, number> | undefined;
    const odd = (gpu: Gpu, profiles: Profiles): Gpu => ({
      ...{ ...gpu, model: "NVIDIA X1", memoryMiB: 100_000 },
      ...(profiles ? { profiles } : {}),
    });
    const node = (profiles: Profiles): Inventory => ({
      ...now,
      gpus: [odd(first, profiles), odd(second, profiles)],
    });
    const offered = { "1g.10gb": 7, "2g.25gb": 4 };
    const optional = { gpu: "all", layout: "all-2g.25gb", optional: true };
    it.each<[string, Profiles, object, string[]]>([
      ["as its driver counts", offered, { gpu: 1, layout: "all-2g.25gb" }, ["GPU 0", "into 4 × 2g.25gb"]],
      ["as its driver counts, and is so", offered, { gpu: 0, layout: "all-1g.10gb" }, []],
      [
        "all of them",
        offered,
        { gpu: "all", layout: "all-2g.25gb" },
        ["into 4 × 2g.25gb", "into 4 × 2g.25gb"],
      ],
      ["by default, where it has the profile", offered, optional, ["into 4 × 2g.25gb", "into 4 × 2g.25gb"]],
      ["by default, where it lacks it", { "1g.10gb": 7 }, optional, []],
      ["which its driver does not offer", { "1g.10gb": 7 }, { gpu: 1, layout: "all-2g.25gb" }, []],
      ["off", offered, { gpu: 0, layout: "all-disabled" }, ["is to be whole", "GPU 1"]],
      [
        "and nobody counted",
        undefined,
        { gpu: 1, layout: "all-2g.25gb" },
        ["GPU 0", "into all 2g.25gb that it holds"],
      ],
      [
        "and nobody counted, all of them",
        undefined,
        { gpu: "all", layout: "all-9g.99gb" },
        // The undivided one is the node's to judge.
        ["9g.99gb"],
      ],
      [
        "and nobody counted, by the instance",
        undefined,
        { gpu: 1, layout: { "2g.25gb": 2 } },
        ["GPU 0", "2 × 2g.25gb"],
      ],
      ["and nobody counted, and it is so", undefined, { gpu: 0, layout: "all-1g.10gb" }, []],
      ["and nobody counted, by default", undefined, optional, []],
    ])("is not cut under its holder: %s", (_, profiles, entry, expected) => {
      const inventory = node(profiles);
      expect(heldLayouts(inventory, held, { mig: [entry] as never })).toEqual(
        expected.map((part) => expect.stringContaining(part)),
      );
      expect(heldLayouts(inventory, [], { mig: [entry] as never })).toEqual([]);
    });

    it("nor while nobody says who holds it", () => {
      const mig = [{ gpu: 1, layout: "all-2g.25gb" }];
      expect(unseenLayouts(node(undefined), { mig }, "x")).toContain(
        "divided into all 2g.25gb that it holds",
      );
      expect(unseenLayouts(node({}), { mig: [{ gpu: 0, layout: "all-1g.10gb" }] }, "x")).toBeUndefined();
    });
  });

  it("is judged by its driver where the table of its model says otherwise", () => {
    const [first, second] = now.gpus;
    if (!first || !second) throw new Error("unreachable");
    const renamed: Inventory = { ...now, gpus: [first, { ...second, profiles: { "1g.11gb": 7 } }] };
    expect(heldLayouts(renamed, held, { mig: [{ gpu: uuid, layout: "all-1g.11gb" }] })[1]).toContain(
      "is to be divided into 7 × 1g.11gb",
    );
  });

  it("keeps its layout while nobody says who holds it, where that is known to be another one", () => {
    const why = "connection refused";
    const said = (mig: object[], known: Inventory | undefined = now) =>
      unseenLayouts(known, { mig: mig as never }, why);
    expect(said([{ gpu: 0, layout: "all-1g.10gb" }])).toBeUndefined();
    expect(said([])).toBeUndefined();
    expect(said([{ gpu: 0, layout: { "3g.40gb": 2 } }])).toMatch(
      /^GPU 0 .* is to be divided into 2 × 3g\.40gb, and who holds them is not known \(connection refused\)\. /,
    );
    expect(unseenLayouts(undefined, { mig: [{ gpu: 0, layout: "all-1g.10gb" }] }, why)).toContain(
      "its GPUs are to be divided otherwise",
    );
    expect(unseenLayouts(undefined, {}, why)).toBeUndefined();
  });
});

describe("a pool's check", () => {
  let ssh: FakeSsh;
  beforeAll(() => {
    ssh = new FakeSsh();
  });
  afterAll(() => ssh.remove());
  const checked = async (more: Record<string, unknown>, grants = [bound("workspace/alice", 0)]) => {
    ssh.answers({ show: snapshot(grants) });
    const { failures } = await provider.check({}, inputs(["alice"], more));
    return (failures ?? []).map(({ reason }) => reason);
  };
  const wholly = JSON.stringify([{ gpu: "all", layout: "all-disabled" }]);

  it("fails the preview where a held GPU is to be divided anew, and says who holds it", async () => {
    const said = expect.stringContaining("alice (workspace/alice) holds 0:0");
    expect(await checked({ inventory: slices(3) })).toEqual([said]);
    expect(await checked({ layouts: wholly })).toEqual([said]);
  });

  it("passes where the layout stays, or nobody holds anything", async () => {
    expect(await checked({ inventory: slices(4) })).toEqual([]);
    expect(await checked({ inventory: slices(3) }, [])).toEqual([]);
  });
});
