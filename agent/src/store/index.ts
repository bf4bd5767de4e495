/** The ledger on disk: SQLite, written in turns, and the lock that makes berthd the only one over it. */
export { StoreError, type StoreTrouble } from "./errors";
export { type InstanceLock, takeLock } from "./lock";
export { schemaVersion } from "./migrations";
export type { Loaded, OpenOptions } from "./open";
export { Store } from "./store";
export type { Answered, OperationRow, OutboxLine, StoredToken, TableName, Tables } from "./tables";
export { type Batch, Turn, Writer, type WriterLog, type WriterOptions, type WriterStore } from "./writer";
