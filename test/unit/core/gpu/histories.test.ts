import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as core from "../../../../core/gpu";
import { History, type Ledger, type Step } from "./histories";

const steps = Number(process.env.BERTH_LEDGER_STEPS ?? 100_000);
const seed = Number(process.env.BERTH_LEDGER_SEED ?? 5);

const step = fc.tuple(fc.nat(39), fc.nat(65_535), fc.nat(65_535));
const history = fc.array(step, { maxLength: 600, size: "max" });

/**
 * Runs histories until so many steps were made; answers how many were, and how many grants.
 * @param shorten whether a history that fails is cut down to what a person can read, which takes longer than to find it
 */
function judge(ledger: Ledger, atLeast: number, shorten: boolean): { steps: number; granted: number } {
  const made = { steps: 0, granted: 0 };
  for (let batch = 0; made.steps < atLeast; batch += 1) {
    fc.assert(
      fc.property(history, (each: Step[]) => {
        const one = new History(ledger);
        one.run(each);
        made.steps += each.length;
        made.granted += one.checker.granted;
      }),
      { numRuns: 20, seed: seed + batch, endOnFailure: !shorten },
    );
  }
  return made;
}

describe("histories of the ledger", () => {
  // Double grants, lost GPUs, shares beyond the memory, limits and tokens: see core-checker.ts.
  it(
    `holds over ${steps} steps`,
    () => {
      const made = judge(core, steps, true);
      expect(made.steps).toBeGreaterThanOrEqual(steps);
      // A history in which nothing is granted proves nothing.
      expect(made.granted).toBeGreaterThan(made.steps / 50);
    },
    Math.max(120_000, steps),
  );
});

describe("the checker catches", () => {
  const planted: Record<string, { ledger: Ledger; says: RegExp }> = {
    "a release that ignores a live container": {
      ledger: {
        ...core,
        release: (state, ctx, id, reason) => core.release(state, ctx, id, reason, true),
      },
      says: /is over while container|while container c\d+ runs with it/,
    },
    "a limit that is off by one": {
      ledger: {
        ...core,
        reserve: (state, ctx, request) => core.reserve(state, oneMore(ctx), request),
      },
      says: /has \d units, allowed \d/,
    },
    "a token that is used again after a restart": {
      ledger: {
        ...core,
        createState: (inventory, rows = [], options) =>
          core.createState(
            inventory,
            [...rows].filter(({ state }) => state !== "released"),
            options,
          ),
      },
      says: /token \d+ of g\d+ is not larger than \d+/,
    },
    "a container that went, and whose grant did not end": {
      ledger: {
        ...core,
        containerGone: () => ({ ok: true, value: [], changes: [] }),
        adopt: (state, ctx, seen) => core.adopt(state, ctx, seen, { complete: false }),
      },
      says: /lost: /,
    },
    "shares that are sold twice": {
      ledger: {
        ...core,
        reserve: (state, ctx, request) => {
          const { memoryMiB } = request.ask;
          if (request.ask.kind !== "share" || memoryMiB === undefined)
            return core.reserve(state, ctx, request);
          const half = { ...request, ask: { ...request.ask, memoryMiB: memoryMiB / 2 } };
          const decision = core.reserve(state, ctx, half);
          if (!decision.ok) return decision;
          const units = decision.value.units.map((unit) => ({ ...unit, memoryMiB }));
          const grant = { ...decision.value, units, ask: request.ask };
          return { ok: true, value: grant, changes: [{ grant, event: "granted" }] };
        },
      },
      says: /shares of GPU-\d: \d+ of 81559 MiB/,
    },
  };

  for (const [name, { ledger, says }] of Object.entries(planted)) {
    it(name, () => {
      let message = "";
      try {
        judge(ledger, 20_000, false);
      } catch (error) {
        message = String((error as Error).message) + String((error as Error).cause ?? "");
      }
      expect(message).toMatch(says);
    });
  }
});

function oneMore(ctx: core.Ctx): core.Ctx {
  return {
    ...ctx,
    limitsOf: (user) => {
      const limits = ctx.limitsOf(user);
      const total = limits?.max_mig_instances;
      if (!limits || !total || total.value === null) return limits;
      return { ...limits, max_mig_instances: { ...total, value: total.value + 1 } };
    },
  };
}
