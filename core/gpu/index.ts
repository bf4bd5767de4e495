/** Who gets which GPU: pure planners and the ledger's state machine. */
export { type Adoption, adopt, type SeenContainer } from "./adopt";
export { askSchema, MOST_GPUS, MOST_UNITS, plainText, strategySchema } from "./ask-schema";
export { askRefusal, askWords, memoryWords, unitMeets } from "./asks";
export { type DeclaredPlan, planDeclared } from "./declared";
export { applyDeclared } from "./declared-apply";
export {
  type DeclaredGpu,
  declaredGpusSchema,
  declaredInventory,
  parseDeclaredGpus,
} from "./declared-gpus";
export { type DeclaredInput, sameAssignment } from "./declared-jobs";
export { heldLayouts, type MigLayouts, unseenLayouts } from "./layouts";
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
export { type InventoryNews, reviewInventory } from "./ledger-inventory";
export type {
  Change,
  ChangeEvent,
  Ctx,
  Decision,
  KeptState,
  LedgerState,
  ReserveRequest,
} from "./ledger-types";
export {
  countsProblem,
  fitsModel,
  hasMedia,
  isProfileName,
  MIG_MODELS,
  MIG_PROFILES,
  type MigCounts,
  type MigModel,
  migModelOf,
  mostOf,
  profileTable,
} from "./mig-profiles";
export * from "./model";
export { Occupancy, type PlaceDefaults } from "./occupancy";
export { type MigPlacement, memorySlices, placeInstances } from "./placements";
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
