/**
 * What a pool does next. Proves: single decisions, and over random histories that a pool never goes beyond its target, its
 * creations at a time, the node's room and its waits after failures, keeps none of an older template, and always fills again.
 * The judge of the histories is itself judged with plans that do one thing wrong.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  afterFailure,
  type BackOff,
  claimable,
  type PoolContainer,
  type PoolInput,
  planPool,
  templateSchema,
} from "../../../../core/manager";
import { type Planner, PoolHistory, type Step } from "./pool-histories";

const now = Date.parse("2026-05-04T12:00:30Z");
const SECOND = 1000;

const template = (more: object = {}) => templateSchema.parse({ name: "web", image: "node:24-slim", ...more });
const ready = (id: string, age = 0, hash = "h"): PoolContainer => ({
  id,
  hash,
  state: "ready",
  createdAt: now - age * SECOND,
});
const warming = (id: string, age = 0, hash = "h"): PoolContainer => ({
  ...ready(id, age, hash),
  state: "warming",
});

function plan(containers: PoolContainer[], more: Partial<PoolInput> & { sizes?: object } = {}) {
  const { sizes, ...rest } = more;
  return planPool({ template: template(sizes), hash: "h", containers, creating: 0, now, ...rest });
}

describe("a pool is filled", () => {
  it.each<[string, PoolContainer[], Parameters<typeof plan>[1], number]>([
    ["as many at a time as are allowed", [], {}, 2],
    ["up to its target", [ready("a"), ready("b")], {}, 1],
    ["no further", [ready("a"), ready("b"), ready("c")], {}, 0],
    ["after a claim", [ready("b"), ready("c")], {}, 1],
    ["beside one that is being made", [], { creating: 1 }, 1],
    ["beside one that warms up", [warming("a")], {}, 1],
    ["not beside as many as are allowed", [warming("a")], { creating: 1 }, 0],
    ["not for those that are on their way", [ready("a"), warming("b")], { creating: 1 }, 0],
    ["as far as the node has room", [], { room: 1 }, 1],
    ["not on a full node", [], { room: 0 }, 0],
    ["with more at a time where the template says so", [], { sizes: { maxCreating: 5, targetSize: 4 } }, 4],
    ["not where it keeps none", [], { sizes: { targetSize: 0 } }, 0],
  ])("%s", (_what, containers, more, create) => {
    expect(plan(containers, more)).toMatchObject({ create, remove: [] });
  });

  it("urgently below its minimum alone", () => {
    const sizes = { minSize: 2 };
    expect(plan([ready("a"), ready("b")], { sizes }).urgent).toBe(false);
    expect(plan([ready("a"), warming("b")], { sizes }).urgent).toBe(true);
    expect(plan([], { sizes: { targetSize: 0 } }).urgent).toBe(false);
  });
});

describe("a container of the pool is removed", () => {
  it("when the template is another one, whatever its state, and another is made in its place", () => {
    const containers = [ready("a", 5, "old"), warming("b", 1, "old"), ready("c")];
    expect(plan(containers)).toMatchObject({ create: 2, remove: ["a", "b"] });
  });

  it("when there are too many: first what warms up, the youngest first, then the oldest", () => {
    const containers = [ready("old", 90), ready("young", 10), warming("w1", 5), warming("w2", 2)];
    const left = (targetSize: number) => plan(containers, { sizes: { targetSize } }).remove.sort();
    expect(left(4)).toEqual([]);
    expect(left(3)).toEqual(["w2"]);
    expect(left(2)).toEqual(["w1", "w2"]);
    expect(left(1)).toEqual(["old", "w1", "w2"]);
    expect(left(0)).toEqual(["old", "w1", "w2", "young"]);
  });

  it("when the schedule says so", () => {
    const sizes = { schedule: [{ from: "12:00", to: "13:00", targetSize: 1 }] };
    expect(plan([ready("a", 9), ready("b", 5), ready("c", 1)], { sizes })).toMatchObject({
      create: 0,
      remove: ["a", "b"],
    });
  });

  it("when it is too old, and the next one is made at once", () => {
    const sizes = { ttlSeconds: 60 };
    expect(plan([ready("a", 60), ready("b", 59), ready("c", 1)], { sizes })).toMatchObject({
      create: 1,
      remove: ["a"],
    });
  });

  it("not while too few others are ready", () => {
    const all = [ready("a", 90), ready("b", 80), ready("c", 70)];
    expect(plan(all, { sizes: { ttlSeconds: 60, minSize: 2 } }).remove).toEqual(["a"]);
    expect(plan(all.slice(1), { sizes: { ttlSeconds: 60, minSize: 2 } }).remove).toEqual([]);
    // A pool that is full of those that are too old has no place for others.
    expect(plan(all, { sizes: { ttlSeconds: 60, minSize: 3 } }).remove).toEqual(["a"]);
    expect(plan([ready("a", 90)], { sizes: { ttlSeconds: 60, targetSize: 1 } }).remove).toEqual(["a"]);
    expect(plan(all, { sizes: { ttlSeconds: 60, minSize: 0 } }).remove).toEqual(["a", "b", "c"]);
  });

  it("not for its age while it warms up", () => {
    expect(plan([warming("a", 900)], { sizes: { ttlSeconds: 60 } }).remove).toEqual([]);
  });
});

describe("a pool is looked at again", () => {
  it.each<[string, PoolContainer[], Parameters<typeof plan>[1], number | undefined]>([
    ["when something happens alone", [ready("a")], {}, undefined],
    [
      "when one will be too old",
      [ready("a", 20), ready("b", 50)],
      { sizes: { ttlSeconds: 60 } },
      now + 10 * SECOND,
    ],
    ["not for one that is too old and stays", [ready("a", 90)], { sizes: { ttlSeconds: 60 } }, undefined],
    [
      "each minute where there is a schedule",
      [],
      { sizes: { schedule: [{ from: "01:00", to: "02:00", targetSize: 1 }] } },
      now + 30 * SECOND,
    ],
    ["when its wait is over", [], { backOff: { hash: "h", failures: 1, until: now + 7 } }, now + 7],
    [
      "not for that where nothing is missing",
      [ready("a"), ready("b"), ready("c")],
      { backOff: { hash: "h", failures: 1, until: now + 7 } },
      undefined,
    ],
  ])("%s", (_what, containers, more, nextLook) => expect(plan(containers, more).nextLook).toBe(nextLook));
});

describe("after a failure", () => {
  const failed = (times: number, hash = "h"): BackOff => ({ hash, failures: times, until: now });

  it("a pool waits 5 s, twice as long after each further one, and five minutes at most", () => {
    let backOff: BackOff | undefined;
    let at = now;
    const waits = Array.from({ length: 9 }, () => {
      backOff = afterFailure(backOff, "h", at);
      const wait = backOff.until - at;
      at = backOff.until;
      return wait / SECOND;
    });
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
    expect(afterFailure(failed(5000), "h", now)).toEqual({
      hash: "h",
      failures: 5001,
      until: now + 300 * SECOND,
    });
  });

  it("one that was begun before the wait adds nothing", () => {
    const first = afterFailure(undefined, "h", now);
    expect(afterFailure(first, "h", now + 4 * SECOND)).toEqual(first);
    expect(afterFailure(first, "h", now + 5 * SECOND).failures).toBe(2);
  });

  it("nothing is made until the wait is over, then one alone", () => {
    const backOff = { ...failed(3), until: now + 1 };
    expect(plan([], { backOff }).create).toBe(0);
    expect(plan([], { backOff, now: now + 1 }).create).toBe(1);
    expect(plan([warming("a")], { backOff, now: now + 1 }).create).toBe(0);
    expect(plan([], { backOff: undefined, now: now + 1 }).create).toBe(2);
  });

  it("another template is tried at once", () => {
    expect(plan([], { backOff: { ...failed(3, "old"), until: now + 60 * SECOND } }).create).toBe(2);
    expect(afterFailure(failed(7, "old"), "h", now)).toEqual({
      hash: "h",
      failures: 1,
      until: now + 5 * SECOND,
    });
  });

  it("a clock that was set back does not make the wait longer", () => {
    const backOff = { ...failed(3), until: now + 3600 * SECOND };
    expect(plan([], { backOff }).create).toBe(1);
    expect(afterFailure(backOff, "h", now).until).toBe(now + 40 * SECOND);
  });
});

describe("a claim", () => {
  it("gets the oldest that is ready and of this template", () => {
    const all = [
      ready("other", 99, "old"),
      warming("w", 98),
      ready("b", 5),
      ready("a", 5),
      ready("young", 1),
    ];
    expect(claimable(all, "h")?.id).toBe("a");
    expect(claimable(all.slice(0, 2), "h")).toBeUndefined();
    expect(all.map(({ id }) => id)).toEqual(["other", "w", "b", "a", "young"]);
  });
});

const step = fc.tuple(fc.nat(255), fc.nat(65_535), fc.nat(65_535));
const history = fc.array(step, { maxLength: 200, size: "max" });

/** Answers how many steps were made, how many claims, and how many containers were replaced for their age. */
function judge(planner: Planner, runs: number, shorten: boolean) {
  const made = { steps: 0, claims: 0, replaced: 0 };
  fc.assert(
    fc.property(history, (steps: Step[]) => {
      const one = new PoolHistory(planner);
      one.run(steps);
      made.steps += steps.length;
      made.claims += one.claims;
      made.replaced += one.replaced;
    }),
    { numRuns: runs, seed: 14, endOnFailure: !shorten },
  );
  return made;
}

describe("histories of a pool", () => {
  it("hold", () => {
    const made = judge(planPool, 500, true);
    // A history in which nothing happens proves nothing.
    expect(made.steps).toBeGreaterThan(20_000);
    expect(made.claims).toBeGreaterThan(1000);
    expect(made.replaced).toBeGreaterThan(100);
  });
});

describe("the judge catches a plan", () => {
  const sized = (input: PoolInput, more: Partial<PoolInput["template"]>) => ({
    ...input,
    template: { ...input.template, ...more },
  });
  it.each<[string, Planner, RegExp]>([
    [
      "that forgets what is being made",
      (input) => planPool({ ...input, creating: 0 }),
      /at a time|more than|wants more/,
    ],
    ["that makes too many at a time", (input) => planPool(sized(input, { maxCreating: 4 })), /at a time/],
    [
      "that makes one too many",
      (input) => planPool(sized(input, { targetSize: input.template.targetSize + 1 })),
      /more than/,
    ],
    ["that does not wait", (input) => planPool({ ...input, backOff: undefined }), /while the pool waits/],
    ["that does not see the node's room", (input) => planPool({ ...input, room: undefined }), /have room/],
    [
      "that takes an old container for a new one",
      (input) =>
        planPool({ ...input, containers: input.containers.map((one) => ({ ...one, hash: input.hash })) }),
      /older template/,
    ],
    [
      "that lets containers grow old",
      (input) => planPool(sized(input, { ttlSeconds: undefined })),
      /too old/,
    ],
    [
      "that lets all go at once",
      (input) => planPool(sized(input, { minSize: 0 })),
      /ready ones are left|urgent/,
    ],
    [
      "that does not fill",
      (input) => ({ ...planPool(input), create: 0 }),
      /nothing to wait for|does not fill/,
    ],
    ["that waits for ever", (input) => ({ ...planPool(input), nextLook: undefined }), /nothing to wait for/],
    [
      "that removes what it needs",
      (input) => ({ ...planPool(input), remove: input.containers.map(({ id }) => id) }),
      /one too many is removed/,
    ],
  ])("%s", (_what, planner, says) => {
    let message = "";
    try {
      judge(planner, 200, false);
    } catch (error) {
      message = String((error as Error).message) + String((error as Error).cause ?? "");
    }
    expect(message).toMatch(says);
  });
});
