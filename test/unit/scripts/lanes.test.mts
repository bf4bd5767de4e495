/**
 * Proves: which parts of the suite run in which lane, and in which order; which parts a file's name means; that a lane
 * over its budget is told of with what grew, and gets more time where other programs took the processors.
 * Does not prove: that two lanes do not disturb each other; the suite itself shows that.
 */
import { describe, expect, it } from "vitest";
import {
  LANES,
  LAST,
  laneGroups,
  meanShare,
  overBudget,
  processorShare,
  renderTimes,
  slowest,
} from "../../../scripts/lib/lanes.mjs";
import { concerned, PARTS, partsOf, SLOW } from "../../../scripts/lib/suites.mjs";

const all = partsOf(undefined) ?? [];
const names = (groups: { name: string; parts: string[] }[][]) =>
  groups.map((group) => group.map(({ name, parts }) => [name, ...parts].join(" ")));

describe("lanes", () => {
  it("hold every slow part once", () => {
    expect([...LANES, LAST].flatMap(({ parts }) => parts).sort()).toEqual(Object.keys(SLOW).sort());
  });

  it("run side by side or one after the other, and the last part by itself", () => {
    expect(names(laneGroups(all, { sideBySide: true }))).toEqual([
      ["nodes engine nodes", "stacks process stacks"],
      ["last last"],
    ]);
    expect(names(laneGroups(all, { sideBySide: false }))).toEqual([
      ["nodes engine nodes"],
      ["stacks process stacks"],
      ["last last"],
    ]);
    expect(names(laneGroups(["unit", "engine"], { sideBySide: true }))).toEqual([["nodes engine"]]);
    expect(laneGroups(["types", "unit"], { sideBySide: true })).toEqual([]);
  });
});

describe("parts", () => {
  it("are each known by name", () => {
    for (const part of PARTS) expect(partsOf(part)?.length, part).toBeGreaterThan(0);
    expect(partsOf("e2e")).toEqual(["nodes", "stacks", "last"]);
    expect(partsOf("e3e")).toBeUndefined();
  });

  it("are those that hold a named file", () => {
    const e2e = partsOf("e2e") ?? [];
    expect(concerned(e2e, ["test/e2e/stacks/cloud.test.ts"])).toEqual(["stacks"]);
    expect(concerned(e2e, ["host-stages", "cloud"])).toEqual(["nodes", "stacks"]);
    expect(concerned(all, ["test/process/berthd.test.ts"])).toEqual(["process"]);
    expect(concerned(all, ["test/unit/cloud-init"])).toEqual(["unit"]);
    expect(concerned(e2e, ["-t", "lets people in"])).toEqual(e2e);
    expect(concerned(all, [])).toEqual(all);
  });
});

describe("a lane's budget", () => {
  const lane = { name: "stacks", parts: ["stacks"], minutes: 10 };
  const files = [
    { file: "a.test.ts", ms: 400_000 },
    { file: "b.test.ts", ms: 100_000 },
    { file: "new.test.ts", ms: 120_000 },
  ];
  const known = { "a.test.ts": 200, "b.test.ts": 99 };

  it("is kept by a lane that ends within it", () => {
    expect(overBudget({ lane, ms: 600_000, files }, { known, share: 1 })).toBeUndefined();
  });

  it("is broken a moment later, and what grew is named, most first", () => {
    const told = overBudget({ lane, ms: 600_001, files }, { known, share: 1 }) ?? "";
    expect(told).toContain("lane stacks: 10 min 00 s, and its budget is 10 min 00 s.");
    const lines = told.split("\n").filter((line) => line.startsWith("  "));
    expect(lines).toEqual(["  a.test.ts: 200 s -> 400 s (+200 s)", "  new.test.ts: new, 120 s"]);
  });

  it("says so where no file grew", () => {
    const told = overBudget({ lane, ms: 700_000, files: [] }, { known, share: 1 });
    expect(told).toContain("nothing by itself");
  });

  it("is stretched by what other programs took", () => {
    expect(overBudget({ lane, ms: 1_199_000, files }, { known, share: 0.5 })).toBeUndefined();
    expect(overBudget({ lane, ms: 1_201_000, files }, { known, share: 0.5 })).toContain(
      "other programs took 50 % of the processors",
    );
  });

  it("is stretched by the mean of what was measured, and never by more than twice", () => {
    expect(meanShare([1, 1])).toBe(1);
    expect(meanShare([1, 0.6])).toBe(0.8);
    expect(meanShare([0.1, 0.2])).toBe(0.5);
  });

  it("measures the processors' share as a part of one", async () => {
    const share = await processorShare(50);
    expect(share).toBeGreaterThanOrEqual(0.1);
    expect(share).toBeLessThanOrEqual(1);
  });
});

describe("times", () => {
  const files = [
    { file: "quick.test.ts", ms: 4_999 },
    { file: "slow.test.ts", ms: 61_400 },
    { file: "slower.test.ts", ms: 300_000 },
  ];

  it("are remembered in seconds, without the quick files", () => {
    expect(JSON.parse(renderTimes(files))).toEqual({ "slower.test.ts": 300, "slow.test.ts": 61 });
  });

  it("are shown, the slowest first, beside what they were", () => {
    expect(slowest(files, { "slower.test.ts": 200 }, 2)).toEqual([
      "  5 min 00 s   slower.test.ts (3 min 20 s in test/times.json)",
      "  1 min 01 s   slow.test.ts",
    ]);
  });
});
