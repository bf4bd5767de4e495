/** What the tests of the ledger service share: rigs that are closed after each, asks, and their answers. */
import { afterEach } from "vitest";
import type { Grant, Refusal, Result } from "../../../../core/gpu";
import { makeRig, type Rig, type RigOptions } from "./rig";

/** All are closed after the test; one that a test made itself can be put here. */
export const rigs: Rig[] = [];

/** Closes `rigs` after each test of the file that calls this. */
export function closeRigs(): void {
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.close();
  });
}

/** A rig that is closed after the test. */
export async function rigged(options?: RigOptions): Promise<Rig> {
  const rig = await makeRig(options);
  rigs.push(rig);
  return rig;
}
/** An ask for one MIG instance. */
export const one = { kind: "mig" as const, count: 1 };
export const wish = (user: string, more: object = {}) => ({ user, ask: one, purpose: "a test", ...more });

export function got<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result.refusal)}`);
  return result.value;
}

export function refused<T>(result: Result<T>): Refusal {
  if (result.ok) throw new Error(`granted: ${JSON.stringify(result.value)}`);
  return result.refusal;
}
export const uuids = (grants: Iterable<Grant>) =>
  [...grants].flatMap(({ units }) => units.map(({ uuid }) => uuid));
/** A running container that has the grant. */
export const container = (grant: Grant, id = "c1", more: object = {}) => ({
  container: id,
  name: id,
  user: grant.user,
  units: grant.units.map(({ uuid }) => uuid),
  grant: grant.key ?? grant.id,
  ...(grant.key === undefined && { token: grant.token }),
  running: true,
  ...more,
});
