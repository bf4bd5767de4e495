/** The ledger on disk: SQLite, written in turns, and the lock that makes berthd the only one over it. */
export { StoreError } from "./errors";
export { type InstanceLock, takeLock } from "./lock";
export { schemaVersion } from "./migrations";
export type { Rebuilding } from "./open";
export { Store } from "./store";
export type {
  Answered,
  CallbackRow,
  MainImageRow,
  ManagedRow,
  OperationRow,
  SetupRow,
  StoredToken,
  Tables,
  VolumeRow,
} from "./tables";
export { type Batch, Turn, Writer } from "./writer";
