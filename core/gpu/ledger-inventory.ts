import { decide, reviewed } from "./ledger";
import type { ChangeEvent, Decision, LedgerState } from "./ledger-types";
import type { Grant } from "./model";
import { recognized } from "./unknown-units";

/** What became of live grants when the GPUs changed. */
export interface InventoryNews {
  /** Their GPU is not there any more. They stay, and so does what they occupy. */
  lost: Grant[];
  /** Their GPU was divided anew: nothing new is granted on it until they are gone. */
  resliced: Grant[];
  quarantined: Grant[];
  /** All is well again. */
  found: Grant[];
}

/** What the GPUs mean for who holds them: asked whenever another inventory is in force. */
export function reviewInventory(state: LedgerState): Decision<InventoryNews> {
  const { inventory } = state;
  // What was found with a container before its GPU was known is what it is from now on.
  const known = recognized(state.grants.values(), inventory);
  const grants = new Map(state.grants);
  for (const grant of known) grants.set(grant.id, grant);
  const next: LedgerState = known.length > 0 ? { ...state, grants, index: undefined } : state;
  const changes = reviewed(next, grants.values());
  const told = new Set(changes.map(({ grant }) => grant.id));
  for (const grant of known) {
    // Another unit of it is still unknown.
    if (!told.has(grant.id)) changes.push({ grant, event: "lost" });
  }
  const of = (event: ChangeEvent) => changes.filter((one) => one.event === event).map(({ grant }) => grant);
  const news = {
    lost: of("lost"),
    resliced: of("resliced"),
    quarantined: of("quarantined"),
    found: of("found"),
  };
  return decide(news, changes);
}
