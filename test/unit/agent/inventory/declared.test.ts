/**
 * Declared GPUs: what the stack's words become.
 * Proves: each card is known for its model; UUIDs that stay; layouts that cannot be are refused; instances have places
 * that agree with the table of MIG profiles, for layouts at random.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readDeclared } from "../../../../agent/src/inventory";
import {
  type DeclaredGpu,
  declaredInventory,
  MIG_MODELS,
  migModelOf,
  placeInstances,
} from "../../../../core/gpu";
import { CARDS, H100 } from "./cases";
import { root, rootForEachTest } from "./helpers";

rootForEachTest();

describe("the model of a GPU", () => {
  it.each(Object.entries(CARDS))("is %s for its card's name and memory", (name, { model, memoryMiB }) => {
    expect(migModelOf(model, memoryMiB)?.name).toBe(name);
  });
  it("covers the whole table, and no GPU without MIG", () => {
    expect(Object.keys(CARDS)).toEqual(MIG_MODELS.map(({ name }) => name));
    expect(migModelOf("NVIDIA L40S", 46068)).toBeUndefined();
    expect(migModelOf("NVIDIA GeForce RTX 4090", 24564)).toBeUndefined();
    expect(migModelOf("NVIDIA A3000", 6144)).toBeUndefined();
  });
});

describe("declared GPUs", () => {
  it("become an inventory as the driver would show it", () => {
    const inventory = declaredInventory(
      [
        { ...H100, count: 2, nvlink: true },
        { ...H100, mig: { "1g.10gb": 2, "3g.40gb": 1 } },
      ],
      "gpu-1",
    );
    expect(inventory).toMatchObject({ source: "declared", driver: "580.159.04" });
    const [a, b, c] = inventory.gpus;
    expect(inventory.gpus.map(({ index, mig, memoryMiB }) => [index, mig, memoryMiB])).toEqual([
      [0, false, 81559],
      [1, false, 81559],
      [2, true, 81559],
    ]);
    expect([a?.nvlink, b?.nvlink, c?.nvlink]).toEqual([[b?.uuid], [a?.uuid], []]);
    for (const { uuid } of inventory.gpus)
      expect(uuid).toMatch(/^GPU-[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    // A half is instance 1, eighths are 7 and up: as the driver numbers them.
    expect(c?.instances.map(({ profile, gi, ci }) => [profile, gi, ci])).toEqual([
      ["3g.40gb", 1, 0],
      ["1g.10gb", 7, 0],
      ["1g.10gb", 8, 0],
    ]);
    expect(c?.instances.map(({ memoryMiB }) => memoryMiB)).toEqual([40576, 9984, 9984]);
  });

  it("keep their UUIDs when something else changes, and no two are alike", () => {
    const uuids = (specs: DeclaredGpu[], node = "gpu-1") =>
      declaredInventory(specs, node).gpus.flatMap((gpu) => [
        gpu.uuid,
        ...gpu.instances.map(({ uuid }) => uuid),
      ]);
    const mixed: DeclaredGpu[] = [{ ...H100, mig: ["1g.10gb", "3g.40gb", "1g.10gb"] }];
    const before = uuids(mixed);
    expect(uuids([{ ...H100, mig: ["3g.40gb", "1g.10gb", "1g.10gb"] }])).toEqual(before);
    expect(uuids([...mixed, { ...H100, count: 3 }]).slice(0, before.length)).toEqual(before);
    // One more slice: those that were there stay.
    expect(uuids([{ ...H100, mig: { "3g.40gb": 1, "1g.10gb": 3 } }])).toEqual(expect.arrayContaining(before));
    const all = [...before, ...uuids(mixed, "gpu-2"), ...uuids([{ ...H100, count: 8 }], "gpu-3")];
    expect(new Set(all).size).toBe(all.length);
  });

  it.each<[string, DeclaredGpu[], string]>([
    [
      "a profile of another GPU",
      [{ ...H100, mig: ["1g.5gb"] }],
      'gpus[0].mig has "1g.5gb", which H100 80GB does not offer; allowed: 1g.10gb, ',
    ],
    ["too many instances", [{ ...H100, mig: { "1g.10gb": 8 } }], "at most 7 × 1g.10gb"],
    ["halves and more", [{ ...H100, mig: ["4g.40gb", "4g.40gb"] }], "at most 1 × 4g.40gb"],
    [
      "MIG on a GPU without it",
      [{ model: "NVIDIA L40S", memoryMiB: 46068, mig: [] }],
      "no GPU of that name that can be (MIG)",
    ],
    ["no memory", [{ model: "X", memoryMiB: 0 }], "gpus[0].memoryMiB"],
    [
      "more than a machine has",
      [
        { ...H100, count: 40 },
        { ...H100, count: 40 },
      ],
      "80 GPUs; allowed are 64",
    ],
  ])("refuse %s", (_, specs, message) => {
    expect(() => declaredInventory(specs, "gpu-1")).toThrow(message);
  });

  it("tell all problems at once", () => {
    const bad = () =>
      declaredInventory(
        [
          { ...H100, mig: ["1g.5gb"] },
          { ...H100, mig: { "7g.80gb": 2 } },
        ],
        "n",
      );
    expect(bad).toThrow(/gpus\[0\]\.mig has[\s\S]*gpus\[1\]\.mig does not fit/);
  });

  it("are read from the node's file", () => {
    const file = join(root, "gpus.json");
    expect(readDeclared(file)).toBeUndefined();
    writeFileSync(file, JSON.stringify({ node: "gpu-1", gpus: [{ ...H100, count: 2 }] }));
    expect(readDeclared(file)).toEqual(declaredInventory([{ ...H100, count: 2 }], "gpu-1"));
    writeFileSync(file, JSON.stringify({ node: "gpu-1", gpus: [{ ...H100, memory: 5 }] }));
    expect(() => readDeclared(file)).toThrow(/gpus\.json:\n- memory in gpus\[0\]: not allowed/);
    writeFileSync(file, "{");
    expect(() => readDeclared(file)).toThrow(/gpus\.json is no JSON/);
  });
});

describe("places of instances", () => {
  it("are those of the table, overlap nowhere, and do not depend on the order", () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom(...MIG_MODELS)
          .chain((model) =>
            fc.tuple(
              fc.constant(model),
              fc.array(fc.constantFrom(...Object.keys(model.profiles)), { maxLength: 9 }),
            ),
          ),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        ([model, profiles], random) => {
          const places = placeInstances(model, profiles);
          const shuffled = profiles
            .map((profile) => ({ profile, key: random.next().value }))
            .sort((a, b) => a.key - b.key)
            .map(({ profile }) => profile);
          expect(placeInstances(model, shuffled)).toEqual(places);
          if (!places) return;
          const slices = places.flatMap(({ start, size }) =>
            Array.from({ length: size }, (_, i) => start + i),
          );
          expect(new Set(slices).size).toBe(slices.length);
          expect(new Set(places.map(({ gi }) => gi)).size).toBe(places.length);
          expect(places.map(({ profile }) => profile).sort()).toEqual([...profiles].sort());
          for (const { profile, start } of places) expect(model.profiles[profile]?.starts).toContain(start);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
