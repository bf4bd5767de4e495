/** Who gets which GPU: pure planners and the ledger's state machine. Imports nothing outside this folder. */
export { type Adoption, adopt, type SeenContainer } from "./adopt";
export { askRefusal, askWords, unitMeets } from "./asks";
export { type DeclaredPlan, planDeclared } from "./declared";
export { applyDeclared } from "./declared-apply";
export { type DeclaredInput, sameAssignment } from "./declared-jobs";
export {
  apply,
  bind,
  containerGone,
  containerStarted,
  containerStopped,
  createState,
  defaultReserveSeconds,
  release,
  reserve,
  tick,
} from "./ledger";
export { type InventoryNews, setInventory } from "./ledger-inventory";
export type { Change, ChangeEvent, Ctx, Decision, LedgerState, ReserveRequest } from "./ledger-types";
export * from "./model";
export { Occupancy, type PlaceDefaults } from "./occupancy";
export { type FreeUnits, freeUnits, type Occupied, place, unitsNamed } from "./planner";
export {
  defaultPatienceSeconds,
  nextAdmissible,
  type QueueEntry,
  type QueueOptions,
  queueOrder,
  queueView,
  type Waiting,
} from "./queue";
