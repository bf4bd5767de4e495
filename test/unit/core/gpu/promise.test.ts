import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Ask,
  applyDeclared,
  containerStarted,
  type DeclaredGrant,
  type GrantedUnit,
  type Inventory,
  reserve,
  sameAssignment,
} from "../../../../core/gpu";
import { gpu, node } from "../../../lib/core-node";
import { key, one, Stack } from "./stack";

const share = (memoryMiB: number): Ask => ({ kind: "share", count: 1, memoryMiB });
const had = (at: number, memoryMiB: number): GrantedUnit[] => [
  { uuid: `GPU-${at}`, gpu: `GPU-${at}`, name: `${at}`, model: "", memoryMiB, shared: true },
];

describe("a promise", () => {
  it("is kept although planning would now choose otherwise", () => {
    const stack = new Stack(node(gpu(0), gpu(1)));
    const before = [key("a", share(50_000)), key("d", share(50_000))];
    stack.up(...before);
    started(stack, before, ["a", "d"]);
    const pack: Ask = { ...share(30_000), strategy: "pack" };
    const declared = [key("b", pack), key("d", pack), key("f", { kind: "gpu", count: 1 })];
    const { refusals, assignment } = stack.plan(declared);
    expect(refusals).toEqual([]);
    expect(stack.plan(declared, assignment).refusals).toMatchObject([{ key: "workspace/f" }]);
    const plan = stack.done(applyDeclared(stack.state, stack.ctx, { declared, expect: assignment }));
    expect(plan.assignment).toEqual(assignment);
  });

  it.each([
    ["more than was asked for", { "workspace/a": ["MIG-0-0", "MIG-0-1"] }],
    ["a unit that is not there", { "workspace/a": ["MIG-9-9"] }],
    ["one unit twice", { "workspace/a": ["MIG-0-0"], "workspace/b": ["MIG-0-0"] }],
    ["what somebody else has", { "workspace/a": ["MIG-1-0"] }],
    ["a key that is not declared", { "workspace/a": ["MIG-0-0"], "workspace/x": ["MIG-0-1"] }],
  ])("is refused: %s", (_, promise) => {
    const stack = new Stack();
    stack.done(
      reserve(stack.state, stack.ctx, { user: "job", ask: { ...one, pins: ["MIG-1-0"] }, purpose: "job" }),
    );
    const unit = (uuid: string) => ({
      uuid,
      gpu: uuid.slice(0, 5),
      name: uuid,
      model: "",
      memoryMiB: 9_984,
      profile: "1g.10gb",
      shared: false,
    });
    const expected = Object.fromEntries(
      Object.entries(promise).map(([each, uuids]) => [each, uuids.map(unit)]),
    );
    const declared = ["a", "b"].filter((each) => `workspace/${each}` in promise).map((each) => key(each));
    expect(applyDeclared(stack.state, stack.ctx, { declared, expect: expected })).toMatchObject({
      ok: false,
      refusal: { code: "conflict", message: expect.stringContaining("changed since the preview") },
    });
  });

  it("does not go beyond a user's limits", () => {
    const stack = new Stack();
    const { assignment } = stack.plan([key("a")]);
    stack.rules.set("a", { max_mig_instances: 0 });
    expect(applyDeclared(stack.state, stack.ctx, { declared: [key("a")], expect: assignment })).toMatchObject(
      {
        refusal: { message: expect.stringContaining("max_mig_instances") },
      },
    );
  });
});

describe("any preview without refusals", () => {
  const inventory = node(
    gpu(0),
    gpu(1),
    gpu(2, { mig: ["1g.10gb", "1g.10gb", "2g.20gb"] }),
    gpu(3, { mig: ["1g.10gb"] }),
  );
  const ask = fc.constantFrom<Ask>(
    one,
    { kind: "mig", count: 1 },
    { kind: "mig", count: 2 },
    { kind: "gpu", count: 1 },
    share(30_000),
    share(50_000),
    { ...share(30_000), strategy: "pack" },
  );
  const declared = fc
    .uniqueArray(fc.tuple(fc.constantFrom(..."abcdef"), ask), { selector: ([user]) => user, maxLength: 6 })
    .map((each) => each.map(([user, what]) => key(user, what)));
  /** Earlier words of a stack that the ledger may know nothing of. */
  const words = fc.array(
    fc.tuple(fc.constantFrom(..."abcdef"), fc.constantFrom(0, 1), fc.constantFrom(30_000, 50_000)),
    { maxLength: 4 },
  );
  /** What is declared, earlier words, who starts their container, and an ask from beside the stack. */
  const up = fc.tuple(declared, words, fc.subarray([..."abcdef"]), fc.option(ask, { freq: 6 }));

  it("is what the up after it commits, with no unit given twice", () => {
    let promised = 0;
    fc.assert(
      fc.property(fc.array(up, { minLength: 1, maxLength: 6 }), (ups) => {
        const stack = new Stack(inventory);
        for (const [keys, earlier, starting, beside] of ups) {
          const previous = Object.fromEntries(
            earlier.map(([user, at, memoryMiB]) => [`workspace/${user}`, had(at, memoryMiB)]),
          );
          const { refusals } = stack.plan(keys, previous);
          const can = keys.filter((each) => !refusals.some((refused) => refused.key === each.key));
          const preview = stack.plan(can, previous);
          if (preview.refusals.length === 0) {
            const expected = preview.assignment;
            const plan = stack.done(
              applyDeclared(stack.state, stack.ctx, { declared: can, expect: expected }),
            );
            expect(sameAssignment(plan.assignment, expected)).toBe(true);
            promised += 1;
          }
          started(stack, can, starting);
          if (beside) {
            const job = reserve(stack.state, stack.ctx, { user: "job", ask: beside, purpose: "job" });
            if (job.ok) stack.done(job);
          }
          expect(overfull(stack, inventory)).toEqual([]);
        }
      }),
      { numRuns: 300, seed: 7 },
    );
    expect(promised).toBeGreaterThan(300);
  });
});

/** Containers start where they may, each a new one. */
function started(stack: Stack, keys: readonly DeclaredGrant[], users: readonly string[]): void {
  for (const { key: grant, user } of keys) {
    if (!users.includes(user)) continue;
    const container = `c-${user}-${stack.state.nextToken}`;
    const decision = containerStarted(stack.state, stack.ctx, { container, grant });
    if (decision.ok) stack.done(decision);
  }
}

/** GPUs and instances with more than they have: of what is to stay, and of what runs. */
function overfull({ state }: Stack, { gpus }: Inventory): string[] {
  const grants = [...state.grants.values()];
  const sums = [grants.filter(({ dropped }) => !dropped), grants.filter(({ container }) => container)].map(
    (those) => {
      const sum = new Map<string, number>();
      for (const { uuid, shared, memoryMiB } of those.flatMap(({ units }) => units)) {
        const whole = gpus.find((each) => each.uuid === uuid)?.memoryMiB ?? 0;
        sum.set(uuid, (sum.get(uuid) ?? 0) + (shared ? memoryMiB / whole : 1));
      }
      return sum;
    },
  );
  return sums.flatMap((sum) => [...sum].filter(([, part]) => part > 1).map(([uuid]) => uuid));
}
