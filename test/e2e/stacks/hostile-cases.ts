/**
 * @file A hostile tenant: attempts from workspaces, from a Ray task, from an account of the node and from another computer
 * at what is not theirs, as cases of the cluster's test. Each row of the tables is a test by itself; the attempts of a place
 * are made over one connection, those of all places side by side, so that all of them take less than a minute.
 *
 * Proves: each attempt meets the refusal that the row names, and what would be allowed is (the rows called real).
 * Does not prove: what a kernel's own faults let through; a home's quota (test/e2e/nodes/host-storage.test.ts).
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { attemptsScript, readAttempts } from "../../lib/attempts";
import { MINUTE } from "../../lib/time";
import { stackFilesThere } from "./cluster-rig";
import { daemonRows } from "./hostile-daemon";
import { fileRows } from "./hostile-files";
import { kernelRows } from "./hostile-kernel";
import { afterRows, limitRows } from "./hostile-limits";
import { networkRows } from "./hostile-network";
import { rayRows } from "./hostile-ray";
import { reach, setUp, tearDown } from "./hostile-rig";
import { streamRows } from "./hostile-streams";
import type { Row } from "./hostile-table";
import { webRows } from "./hostile-web";

/** One after the other, as what takes the processors would make others late. */
const ROUNDS: readonly (readonly Row[])[] = [
  [
    ...[...fileRows, ...kernelRows, ...networkRows, ...daemonRows],
    ...[...streamRows, ...webRows, ...rayRows],
  ],
  limitRows,
  afterRows,
];

/** With alice on node-0, and bob and carol, who may run PIDS processes, on node-1. They leave it as they found it. */
export function hostileCases(): void {
  const said = new Map<Row, string | Error>();

  beforeAll(async () => {
    if (!stackFilesThere()) return;
    const variables = await setUp();
    for (const rows of ROUNDS) await attempt(rows, variables, said);
  }, 8 * MINUTE);

  afterAll(async () => {
    if (stackFilesThere()) await tearDown();
  }, 2 * MINUTE);

  for (const row of ROUNDS.flat()) {
    it(`${row.from}: ${row.what}`, () => {
      const outcome = said.get(row);
      if (outcome === undefined) throw new Error("it was not tried");
      if (outcome instanceof Error) throw outcome;
      if (typeof row.expect === "string") expect(outcome).toBe(row.expect);
      else expect(outcome).toMatch(row.expect);
    });
  }
}

async function attempt(
  rows: readonly Row[],
  variables: Readonly<Record<string, string>>,
  said: Map<Row, string | Error>,
): Promise<void> {
  const places = [...new Set(rows.map(({ from }) => from))];
  await Promise.all(
    places.map(async (place) => {
      const mine = rows.filter(({ from }) => from === place);
      try {
        const told = readAttempts(await reach[place](attemptsScript(mine, variables)), mine.length);
        for (const [i, row] of mine.entries()) said.set(row, told[i] ?? "");
      } catch (error) {
        // Those of the other places are judged all the same.
        for (const row of mine) said.set(row, error as Error);
      }
    }),
  );
}
