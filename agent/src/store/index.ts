/** The ledger on disk: SQLite, written in groups, and the lock that makes berthd the only one over it. */
export { StoreError, type StoreTrouble } from "./errors";
export { type InstanceLock, takeLock } from "./lock";
export type { OpenOptions } from "./open";
export { schemaVersion } from "./schema";
export { type Answered, type Batch, type Loaded, type OutboxLine, Store, type StoredToken } from "./store";
