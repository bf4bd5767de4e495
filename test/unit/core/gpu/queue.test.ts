import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Ask,
  apply,
  type Ctx,
  createState,
  type KeptState,
  type LedgerState,
  nextAdmissible,
  queueOrder,
  queueView,
  release,
  reserve,
  type Waiting,
} from "../../../../core/gpu";
import { gpu, type LimitValues, limits, node } from "../../../lib/core-node";

const one: Ask = { kind: "mig", count: 1, profile: "1g.10gb" };
const inventory = node(gpu(0, { mig: ["1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb"] }), gpu(1), gpu(2));
const minute = 60_000;
const start = 100 * minute;

let ids = 0;
const rules = new Map<string, LimitValues>();
const ctx = (now: number): Ctx => ({
  now,
  newId: () => `g${++ids}`,
  limitsOf: (user) => limits(user, rules.get(user)),
  strategy: "least-allocated",
  allowShared: true,
});

function waits(id: string, more: Partial<Waiting> = {}): Waiting {
  return { id, user: id, group: "student", priority: 0, ask: one, purpose: "job", since: start, ...more };
}

function hold(state: KeptState, user: string, ask: Ask, group?: string): string {
  rules.set(user, { group });
  const decision = reserve(state, ctx(0), { user, ask, purpose: "job" });
  if (!decision.ok) throw new Error(decision.refusal.message);
  apply(state, decision.changes);
  return decision.value.id;
}

const order = (state: LedgerState, waiting: Waiting[], now = start) =>
  queueOrder(waiting, state.grants.values(), { now, inventory })
    .map(({ id }) => id)
    .join(" ");

describe("the order", () => {
  it("is by the group's granted memory, then priority, then age", () => {
    const state = createState(inventory);
    hold(state, "eve", one, "research");
    const waiting = [
      waits("young", { since: start + 2 }),
      waits("old", { since: start + 1 }),
      waits("urgent", { since: start + 3, priority: 5 }),
      waits("rich", { group: "research", priority: 9 }),
    ];
    // The first of the students will have as much as research has: then priority decides between the groups.
    expect(order(state, waiting)).toBe("urgent rich old young");
  });

  it("takes turns between groups, by what was asked for", () => {
    const waiting = [
      waits("a1", { group: "a", since: 1 + start }),
      waits("a2", { group: "a", since: 2 + start }),
      waits("a3", { group: "a", since: 3 + start }),
      waits("b1", { group: "b", since: 4 + start, ask: { ...one, count: 2 } }),
      waits("b2", { group: "b", since: 5 + start }),
    ];
    expect(order(createState(inventory), waiting)).toBe("a1 b1 a2 a3 b2");
  });

  it("puts those whose patience is over first, the oldest before all", () => {
    const waiting = [
      waits("new", { priority: 9 }),
      waits("older", { since: start - 11 * minute, group: "b" }),
      waits("oldest", { since: start - 12 * minute, group: "b" }),
    ];
    expect(order(createState(inventory), waiting)).toBe("oldest older new");
  });

  it("does not depend on the order of arrival in the list", () => {
    const some = fc.record({
      group: fc.constantFrom("a", "b", "c"),
      priority: fc.nat(2),
      since: fc.nat(30).map((minutes) => start - minutes * minute),
    });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 12 }), fc.nat(), (list, turn) => {
        const waiting = list.map((each, at) => waits(`w${at}`, each));
        const at = turn % (waiting.length + 1);
        const state = createState(inventory);
        expect(order(state, [...waiting.slice(at), ...waiting.slice(0, at)])).toBe(order(state, waiting));
      }),
    );
  });
});

describe("who is next", () => {
  const two: Ask = { kind: "gpu", count: 2 };
  const single: Ask = { kind: "gpu", count: 1 };

  it("lets small requests overtake a large one, until its patience is over", () => {
    const state = createState(inventory);
    hold(state, "eve", single);
    const large = waits("large", { ask: two, priority: 9 });
    const small = waits("small", { ask: single });
    expect(nextAdmissible(state, ctx(start), [large, small])?.id).toBe("small");
    const later = ctx(start + 10 * minute);
    expect(nextAdmissible(state, later, [large, { ...small, since: later.now }])).toBeUndefined();
    expect(queueView(state, later, [large, { ...small, since: later.now }])).toMatchObject([
      { position: 1, waiting: { id: "large" }, reason: "busy: 2 whole GPUs: 1 of 2 is free now" },
      {
        position: 2,
        waiting: { id: "small" },
        reason: "kept free for 2 whole GPUs, asked for 10 minutes ago",
      },
    ]);
    // What the large one cannot use is not kept from anybody.
    expect(nextAdmissible(state, later, [large, waits("other", { since: later.now })])?.id).toBe("other");
    const share: Ask = { kind: "share", count: 1, memoryMiB: 1000 };
    expect(
      nextAdmissible(state, later, [large, waits("part", { ask: share, since: later.now })]),
    ).toBeUndefined();
  });

  it("is not held up by one who is over their own limit", () => {
    const state = createState(inventory);
    rules.set("greedy", { max_mig_instances: 0 });
    const waiting = [waits("greedy", { since: start - 20 * minute }), waits("modest")];
    expect(nextAdmissible(state, ctx(start), waiting)?.id).toBe("modest");
    expect(queueView(state, ctx(start), waiting)[0]?.reason).toBe(
      "over-limit: greedy uses 0 of 0 GPUs and MIG instances, and 1 more was asked for (groups.student.max_mig_instances)",
    );
  });

  it("is not held up by one who has too many containers, GPUs or not", () => {
    const state = createState(inventory);
    rules.set("crowded", { max_containers_per_user: 2 });
    const waiting = [waits("crowded", { since: start - 20 * minute, containers: 2 }), waits("modest")];
    expect(nextAdmissible(state, ctx(start), waiting)?.id).toBe("modest");
    expect(queueView(state, ctx(start), waiting)[0]?.reason).toContain("2 of 2 containers");
    const fewer = waiting.map((one) => (one.id === "crowded" ? { ...one, containers: 1 } : one));
    expect(nextAdmissible(state, ctx(start), fewer)?.id).toBe("crowded");
  });

  it("grants nothing while the ledger is closed, and says why", () => {
    const state = { ...createState(inventory), closed: "nvidia-smi did not answer" };
    expect(nextAdmissible(state, ctx(start), [waits("a")])).toBeUndefined();
    expect(queueView(state, ctx(start), [waits("a")])[0]?.reason).toContain("nvidia-smi did not answer");
  });

  it("starves nobody: a large request is met though small ones never stop coming", () => {
    const state = createState(inventory);
    const large = waits("large", { ask: two });
    // Each runs for 4 minutes, begun 2 minutes apart: the two GPUs are never free together by themselves.
    const running = [{ id: hold(state, "eve", single), until: start + 2 * minute }];
    let waiting = [large];
    let met: number | undefined;
    for (let now = start; now < start + 60 * minute && met === undefined; now += minute) {
      waiting.push(waits(`s${now}`, { ask: single, since: now, priority: 5 }));
      for (const { id } of running.filter(({ until }) => until <= now)) {
        const ended = release(state, ctx(now), id);
        if (ended.ok) apply(state, ended.changes);
      }
      for (;;) {
        const next = nextAdmissible(state, ctx(now), waiting);
        if (!next) break;
        waiting = waiting.filter((each) => each !== next);
        running.push({ id: hold(state, next.user, next.ask), until: now + 4 * minute });
        if (next === large) met = now;
      }
    }
    // Its patience is 10 minutes; then those that run have 4 at most.
    expect(met).toBeLessThanOrEqual(start + 14 * minute);
    expect(met).toBeGreaterThan(start);
  });
});
