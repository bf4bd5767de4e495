import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StoreError, storeError } from "./errors";

/** Held for as long as this process lives. */
export interface InstanceLock {
  release(): void;
}

/**
 * Takes the lock that makes this berthd the only one over this state. It is an open exclusive transaction on a file of
 * its own: the kernel lets go of it when the process ends in whatever way, so none is left behind by `kill -9`.
 * @throws {StoreError} `locked`, naming the other process
 */
export function takeLock(lockFile: string, pidFile: string): InstanceLock {
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
    db = new DatabaseSync(lockFile, { timeout: 0 });
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    // For people and for the message below; the lock itself is the transaction.
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch (error) {
    db?.close();
    const failed = storeError(error, `taking ${lockFile}`);
    if (failed.trouble !== "busy") throw failed;
    throw new StoreError(
      "locked",
      `Another berthd ${holder(pidFile)} runs on this node and holds ${lockFile}. One is the limit: two would grant the same GPU twice. Stop it first: systemctl stop berthd`,
    );
  }
  const held = db;
  return { release: () => held.close() };
}

function holder(pidFile: string): string {
  try {
    const pid = readFileSync(pidFile, "utf8").trim();
    return /^\d+$/.test(pid) ? `(pid ${pid})` : "(its pid is not known)";
  } catch {
    return "(its pid is not known)";
  }
}
