/** Who gets which GPU: pure planners and the ledger's state machine. */
export { adopt, type SeenContainer } from "./adopt";
export { askSchema, MOST_GPUS, MOST_UNITS, plainText, strategySchema } from "./ask-schema";
export { askRefusal, askWords, memoryWords, unitMeets } from "./asks";
export { type DeclaredPlan, planDeclared } from "./declared";
export { applyDeclared } from "./declared-apply";
export { type DeclaredGpu, declaredGpusSchema, declaredInventory, parseDeclaredGpus } from "./declared-gpus";
export { type DeclaredInput, sameAssignment } from "./declared-jobs";
export { heldLayouts, unseenLayouts } from "./layouts";
export {
  apply,
  bind,
  containerGone,
  containerStarted,
  containerStopped,
  createState,
  release,
  reserve,
  tick,
} from "./ledger";
export { type InventoryNews, reviewInventory } from "./ledger-inventory";
export {
  type Change,
  type ChangeEvent,
  type Ctx,
  type Decision,
  defaultReserveSeconds,
  type KeptState,
  type LedgerState,
  type ReserveRequest,
} from "./ledger-types";
export {
  hasMedia,
  isProfileName,
  MIG_MODELS,
  MIG_PROFILES,
  type MigCounts,
  type MigModel,
  migModelOf,
  profileTable,
} from "./mig-profiles";
export * from "./model";
export { Occupancy, type PlaceDefaults } from "./occupancy";
export { bindOwn, type OwnGrant, releaseOf, unbind, usableGrant } from "./own-grant";
export {
  countsOf,
  countsProblem,
  divisionProblem,
  fitsModel,
  memorySlices,
  mostOf,
  placeInstances,
} from "./placements";
export { nextAdmissible, type QueueEntry, queueOrder, queueView, type Waiting } from "./queue";
export { unitsNamed } from "./unknown-units";
