import { DatabaseSync } from "node:sqlite";

/** Endings of the files of one database; its log first, which without the database is never played into another. */
export const PARTS = ["-wal", "-shm", ""] as const;

/** A database whose commits end with the data on the disk. */
export function connect(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: 5000 });
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  // A checkpoint inside a commit would make that one caller wait for it; the store does them between commits.
  db.exec("PRAGMA wal_autocheckpoint = 0");
  db.exec("PRAGMA foreign_keys = ON");
  db.exec("PRAGMA cache_size = -4096");
  return db;
}
