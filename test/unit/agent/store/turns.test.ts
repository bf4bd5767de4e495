/**
 * Turns whose commit fails. Proves, over random commands and failures, against the real decisions and a real database:
 * a failed turn leaves the ledger in memory as it was, keys that the stack dropped included; what is in memory is what a
 * start reads from the file.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Step, TurnsNode } from "./turns-node";

const runs = Number(process.env.BERTH_TURNS_RUNS ?? 40);
const seed = Number(process.env.BERTH_TURNS_SEED ?? 7);

const command = fc.tuple(fc.nat(12), fc.nat(65_535), fc.nat(65_535));
const step: fc.Arbitrary<Step> = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 5 }),
  commit: fc.constantFrom("good", "good", "fails", "late"),
});

describe("turns whose commit fails", () => {
  it("leave everything as it was, and the file says what memory says", async () => {
    const seen = { turns: 0, ofGrants: 0, undeclared: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30, size: "max" }), async (steps) => {
        const node = new TurnsNode();
        try {
          await node.run(steps);
          expect(node.wrong).toEqual([]);
          const { live, nextToken, nextEvent } = node.reopened();
          const grants = [...node.state.grants.values()].sort((a, b) => a.token - b.token);
          expect(live).toEqual(grants);
          expect(nextToken).toBeGreaterThan(Math.max(0, ...live.map(({ token }) => token)));
          expect(nextToken).toBeLessThanOrEqual(node.state.nextToken);
          expect(nextEvent).toBe(node.lines.length + 1);
          seen.turns += node.failed.turns;
          seen.ofGrants += node.failed.ofGrants;
          if (node.state.undeclared.size > 0) seen.undeclared++;
        } finally {
          node.close();
        }
      }),
      { numRuns: runs, seed },
    );
    // Histories in which nothing fails or nothing is dropped prove nothing.
    expect(seen.ofGrants).toBeGreaterThan(runs);
    expect(seen.undeclared).toBeGreaterThan(runs / 4);
  }, 120_000);
});
