import { isStray } from "./gpu-use";
import { LedgerIndex } from "./ledger-index";
import type { ChangeEvent, KeptState, LedgerState } from "./ledger-types";
import type { Grant, GrantedUnit } from "./model";

/** The state's index; made anew when it is missing or of another inventory. */
export function indexOf(state: LedgerState): LedgerIndex {
  const there = state.index;
  if (there?.occupancy.inventory === state.inventory) return there;
  const index = new LedgerIndex(state.inventory, state.grants.values());
  (state as KeptState).index = index;
  return index;
}

export interface Trouble {
  event: Extract<ChangeEvent, "lost" | "resliced" | "conflict" | "waiting" | "quarantined">;
  reason: string;
}

/** What is wrong with a live grant, the gravest first; its user reads it, so others are ids in it, not names. `without`: grants that are about to be over. */
export function troubleOf(
  state: LedgerState,
  grant: Grant,
  without: ReadonlySet<string> = new Set(),
): Trouble | undefined {
  const index = indexOf(state);
  let worst: Trouble | undefined;
  const found = (trouble: Trouble) => {
    if (!worst || gravity.indexOf(trouble.event) < gravity.indexOf(worst.event)) worst = trouble;
  };
  for (const unit of grant.units) {
    const use = index.occupancy.useOf(unit);
    if (!use) {
      found({ event: "lost", reason: `gpu lost: ${unit.name} (${unit.uuid})` });
      continue;
    }
    if (isStray(use, unit)) {
      found({ event: "resliced", reason: `gpu re-sliced: ${unit.name} (${unit.uuid}) is no more` });
    }
    if (use.gpu.quarantined !== undefined) {
      found({ event: "quarantined", reason: `gpu quarantined: ${unit.name}: ${use.gpu.quarantined}` });
    }
    const others = [...index.beside(unit)].filter((other) => other.id !== grant.id && !without.has(other.id));
    for (const other of rivals(grant, unit, others, use.gpu.memoryMiB)) {
      if (isWaiting(other) && grant.dropped) continue;
      if (isWaiting(grant) && other.dropped) {
        found({
          event: "waiting",
          reason: `waits for ${unit.name}, which the container of grant ${other.id} still has`,
        });
      } else {
        found({
          event: "conflict",
          reason: `conflict: ${unit.name} is also held by ${other.id}`,
        });
      }
    }
  }
  return worst;
}

const gravity: readonly ChangeEvent[] = ["lost", "resliced", "conflict", "waiting", "quarantined"];

/** A declared grant whose container is still to come. */
const isWaiting = (grant: Grant) => grant.key !== undefined && !grant.dropped && grant.state === "reserved";

/**
 * Those of the others that keep the grant from its unit. Shares are summed twice, as they run and as they are to be:
 * what is to go and what comes in its place are never there together.
 */
function rivals(grant: Grant, unit: GrantedUnit, others: readonly Grant[], memoryMiB: number): Grant[] {
  const among = (those: readonly Grant[]) => clashing(unit, those, memoryMiB);
  if (!unit.shared) return among(others);
  const running = among(others.filter(({ container }) => container !== undefined));
  if (grant.dropped) return running;
  const toCome = isWaiting(grant) ? among(others).filter(({ dropped }) => dropped) : running;
  return [...new Set([...among(others.filter(({ dropped }) => !dropped)), ...toCome])];
}

/** Those of the others that have the unit too: an exclusive one, or shares that are more than the memory. */
export function clashing(unit: GrantedUnit, others: readonly Grant[], memoryMiB: number): Grant[] {
  const same = others.filter(({ units }) => units.some(({ uuid }) => uuid === unit.uuid));
  if (!unit.shared) return same;
  const shareOf = (grant: Grant) =>
    grant.units.reduce((sum, one) => sum + (one.uuid === unit.uuid && one.shared ? one.memoryMiB : 0), 0);
  const shared = same.reduce((sum, grant) => sum + shareOf(grant), unit.memoryMiB);
  return shared > memoryMiB
    ? same
    : same.filter(({ units }) => units.some((one) => one.uuid === unit.uuid && !one.shared));
}
