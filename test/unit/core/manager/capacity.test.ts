/**
 * How many containers a node takes. Proves: the documented table holds on a machine of 16 GB as a kernel shows it; as many are
 * admitted as are promised; what there is too little of is named, all of it at once.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { admit, capacity, type Need, type NodeRoom, needOf, templateSchema } from "../../../../core/manager";

/** A droplet of 8 CPUs, 16 GB and 320 GB, as its kernel shows it: MemTotal, and threads-max. */
const droplet: NodeRoom = { memoryMiB: 15_990, cpus: 8, pids: 127_800, diskFreeMiB: 300_000, containers: [] };
const small: Need = { memoryMiB: 512, cpus: 1, pids: 4096, diskMiB: 1024 };

const sizes = ["512MiB", "1GiB", "2GiB"].map((memory, i) => {
  const template = templateSchema.parse({ name: `t${i}`, image: "node:24-slim", memory });
  return { name: memory, ...needOf(template) };
});
const more = (node: NodeRoom, need: Need) => capacity(node, [{ name: "x", ...need }]).templates[0];

function refusal(node: NodeRoom, need: Need) {
  const decision = admit(node, need);
  if (decision.ok) throw new Error("admitted");
  return decision.refusal;
}

describe("the table of a machine with 16 GB", () => {
  const table = [
    { name: "512MiB", more: 30, bound: "memory" },
    { name: "1GiB", more: 15, bound: "memory" },
    { name: "2GiB", more: 7, bound: "memory" },
  ];

  it.each([
    ["a droplet", droplet],
    ["a machine whose kernel shows all of it", { ...droplet, memoryMiB: 16_384, pids: 131_072 }],
  ])("holds on %s", (_what, node) => expect(capacity(node, sizes).templates).toEqual(table));

  it("is less for each container that is there", () => {
    const busy = { ...droplet, containers: [...Array<Need>(4).fill(small), { ...small, memoryMiB: 4096 }] };
    expect(capacity(busy, sizes).templates.map((one) => one.more)).toEqual([18, 9, 4]);
  });
});

describe("the memory of a node", () => {
  it.each([
    ["without a reserve is all that the kernel has", { memoryMiB: 15_990, reserveMiB: 0 }, 15_990],
    ["near a whole GiB loses what the kernel does not have anyway but once", { memoryMiB: 7_941 }, 7_168],
    ["of a large machine loses the reserve", { memoryMiB: 63_900 }, 62_876],
    ["loses a reserve of one's own", { memoryMiB: 16_384, reserveMiB: 4096 }, 12_288],
    ["may be less than the reserve", { memoryMiB: 512 }, 0],
  ])("%s", (_what, given, usable) => {
    const node = { ...droplet, cpus: 1e6, pids: 1e9, diskFreeMiB: 1e9, ...given };
    expect(more(node, { memoryMiB: 1, cpus: 0.01, pids: 1, diskMiB: 0 })?.more).toBe(usable);
  });
});

describe("what there is too little of", () => {
  it.each([
    ["memory", { memoryMiB: 1800 }, 2],
    ["cpus", { cpus: 0.5 }, 2],
    ["cpus", { cpus: 2, cpuOvercommit: 1 }, 2],
    ["pids", { pids: 9000 }, 2],
    ["disk", { diskFreeMiB: 5000 }, 2],
    ["disk", { diskFreeMiB: 5000, diskReserveMiB: 0 }, 4],
    ["disk", { diskFreeMiB: 10 }, 0],
  ])("bounds: %s", (bound, given, fit) => {
    expect(more({ ...droplet, ...given }, small)).toEqual({ name: "x", more: fit, bound });
  });

  it("is refused with all that lacks, and what is free", () => {
    const node = { ...droplet, containers: [{ ...small, memoryMiB: 15_000, cpus: 31.5 }] };
    expect(refusal(node, small)).toEqual({
      code: "full",
      message:
        "the node is full: the container needs 512 MiB of memory, 1 CPUs, and free are 360 MiB of memory, 0.5 CPUs",
      allowed: "360 MiB of memory, 0.5 CPUs, 123704 processes, 296928 MiB of disk",
      fix: expect.stringContaining("try again when another container was deleted"),
    });
  });

  it("is never said to be less than nothing", () => {
    const shrunk = { ...droplet, memoryMiB: 2048, containers: Array<Need>(30).fill(small) };
    expect(more(shrunk, small)).toMatchObject({ more: 0 });
    expect(refusal(shrunk, small).message).toContain("free are 0 MiB of memory");
  });

  it.each([
    [
      "memory",
      { memoryMiB: 99_999 },
      /needs 99999 MiB of memory, and the whole node has 15360 MiB of memory/,
    ],
    ["CPUs", { cpus: 33 }, /needs 33 CPUs, and the whole node has 32 CPUs/],
    ["processes", { pids: 200_000 }, /needs 200000 processes/],
    ["memory and CPUs", { memoryMiB: 99_999, cpus: 33 }, /needs 99999 MiB of memory, 33 CPUs/],
  ])("is impossible where the empty node has too little: %s", (_what, given, said) => {
    const asked = refusal({ ...droplet, containers: [small] }, { ...small, ...given });
    expect(asked.code).toBe("impossible");
    expect(asked.message).toMatch(said);
  });

  it("is not impossible on a full disk, which can be emptied", () => {
    expect(refusal({ ...droplet, diskFreeMiB: 0 }, small).code).toBe("full");
  });
});

const need: fc.Arbitrary<Need> = fc.record({
  memoryMiB: fc.integer({ min: 8, max: 4096 }),
  cpus: fc.integer({ min: 1, max: 80 }).map((tenths) => tenths / 10),
  pids: fc.integer({ min: 1, max: 8192 }),
  diskMiB: fc.nat(4096),
});
const node: fc.Arbitrary<NodeRoom> = fc.record({
  memoryMiB: fc.integer({ min: 512, max: 40_000 }),
  cpus: fc.integer({ min: 1, max: 16 }),
  cpuOvercommit: fc.constantFrom(1, 1.5, 4),
  pids: fc.integer({ min: 1000, max: 100_000 }),
  diskFreeMiB: fc.nat(60_000),
  containers: fc.array(need, { maxLength: 20 }),
});
/** Small enough that the number that fits can be counted one by one. */
const counted = need.map((one) => ({ ...one, memoryMiB: one.memoryMiB + 128 }));

describe("whatever a node has", () => {
  it("as many are admitted, one after the other, as are promised", () => {
    fc.assert(
      fc.property(node, counted, (start, asked) => {
        const promised = more(start, asked)?.more ?? -1;
        const containers = [...start.containers];
        let admitted = 0;
        for (; admitted <= promised; admitted += 1) {
          const decision = admit({ ...start, containers }, asked);
          if (!decision.ok) break;
          containers.push(decision.value);
        }
        expect(admitted).toBe(promised);
      }),
    );
  });

  it("one that is admitted takes nothing beyond what there is", () => {
    fc.assert(
      fc.property(node, need, (start, asked) => {
        if (!admit(start, asked).ok) return;
        const all = [...start.containers, asked];
        const most = {
          memoryMiB: start.memoryMiB,
          cpus: start.cpus * (start.cpuOvercommit ?? 0) + 1e-6,
          pids: start.pids,
          diskMiB: start.diskFreeMiB,
        };
        // Others may have more than there is by now, of what this one asks nothing of.
        for (const key of Object.keys(most) as (keyof Need)[])
          if (asked[key] > 0)
            expect(all.reduce((total, one) => total + one[key], 0)).toBeLessThanOrEqual(most[key]);
      }),
    );
  });

  it("another container never makes room, and one that goes gives it back", () => {
    fc.assert(
      fc.property(node, need, need, (start, other, asked) => {
        const before = more(start, asked)?.more ?? -1;
        const after = more({ ...start, containers: [other, ...start.containers] }, asked)?.more ?? -1;
        expect(after).toBeLessThanOrEqual(before);
        expect(after).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it("tenths of a CPU add up", () => {
    const tenth = { memoryMiB: 8, cpus: 0.1, pids: 1, diskMiB: 0 };
    const one = { ...droplet, cpus: 1, cpuOvercommit: 1 };
    expect(more(one, tenth)?.more).toBe(10);
    expect(more({ ...one, containers: Array<Need>(7).fill(tenth) }, tenth)?.more).toBe(3);
    expect(admit({ ...one, containers: Array<Need>(9).fill(tenth) }, tenth).ok).toBe(true);
    expect(admit({ ...one, containers: Array<Need>(10).fill(tenth) }, tenth).ok).toBe(false);
  });
});
