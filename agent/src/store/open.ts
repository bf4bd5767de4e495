import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Grant } from "../../../core/gpu";
import { connect, PARTS } from "./connect";
import { copyOf, readCopy } from "./copy";
import { StoreError, storeError } from "./errors";
import { migrate, readVersion } from "./migrations";
import { openTables, type Tables } from "./tables";

export interface OpenOptions {
  file: string;
  now: number;
  /**
   * What is known of the ledger from elsewhere, such as the event log: nothing is numbered lower. `seen`: there was a
   * ledger here before, so that a missing file is a loss.
   */
  floor?: { token: number; event: number; seen: boolean };
  /** Told of the steps of making a new one; tests kill berthd there. */
  reached?(point: `ledger:${"before" | "after"}-rebuilt`): void;
}

/**
 * What a new ledger was begun with, where the earlier one was lost: what tenants have was found in the copy (`copy`), or there is none,
 * or rows of it cannot be used (`labels`), and Docker's labels say all that is known of the rest. Kept until all of it is found.
 */
export type Rebuilding = "copy" | "labels";
/** As the database keeps it: `PRAGMA user_version`. */
const REBUILDING: readonly (Rebuilding | undefined)[] = [undefined, "copy", "labels"];

/** What was in the database when it was opened. */
export interface Loaded {
  live: Grant[];
  nextToken: number;
  nextEvent: number;
  /** Set: the earlier ledger is gone, and how; it must be rebuilt from the containers. */
  lost?: string;
  /** Where the unusable database was moved to. */
  movedTo?: string;
  /** Left out: nothing is left to be found. Also after a restart in the middle of that. */
  rebuilding?: Rebuilding;
  /** Rows of tenants that were found again, and that were not as they should be. */
  found?: { rows: number; unusable: number };
}

export interface OpenedDatabase {
  db: DatabaseSync;
  tables: Tables;
  loaded: Loaded;
}

/**
 * Opens the ledger; one that cannot be read whole is moved aside, with its write-ahead log, and a new one begun.
 * @throws {StoreError} `newer` (nothing was touched), `full`, `io`
 */
export function openDatabase(options: OpenOptions): OpenedDatabase {
  const { file } = options;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const present = existsSync(file);
  // Its log without the database itself is of no use, and would be played into a new one.
  if (!present && existsSync(`${file}-wal`))
    return replace(options, "the database file is missing, its log is there");
  if (!present) {
    const seen = options.floor?.seen || existsSync(copyOf(file));
    return begin(options, seen ? "the database file is missing" : undefined);
  }
  if (statSync(file).size === 0 && !existsSync(`${file}-wal`)) {
    return replace(options, "the database file is empty");
  }
  let db: DatabaseSync | undefined;
  try {
    db = connect(file);
    const version = readVersion(db, file);
    if (version === 0) throw new StoreError("corrupt", "the database has no tables");
    const check = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (check.quick_check !== "ok") throw new StoreError("corrupt", check.quick_check);
    migrate(db, version, options.now, { nextToken: 1, nextEvent: 1 });
    const tables = openTables(db);
    return { db, tables, loaded: { ...load(tables, options), ...rebuildingOf(db) } };
  } catch (error) {
    db?.close();
    const failed = storeError(error, `opening ${file}`);
    if (failed.trouble !== "corrupt") throw failed;
    return replace(options, failed.message);
  }
}

function load(
  { grants, tokens, operations, callbacks, managed, volumes, setups, mainImages, outbox, counters }: Tables,
  { floor }: OpenOptions,
): Loaded {
  // berthd reads these as it starts. A row that is not as it should be is found here, where the file is moved aside for
  // it: found later, it would keep berthd from starting.
  tokens.all();
  operations.all();
  callbacks.all();
  managed.all();
  volumes.all();
  setups.all();
  mainImages.all();
  outbox.after(floor?.event ?? 0);
  const { nextToken, nextEvent } = counters.get();
  return {
    live: grants.live(),
    // An old copy put back by somebody must not number again what was numbered since.
    nextToken: Math.max(nextToken, grants.lastToken() + 1, (floor?.token ?? 0) + 1),
    nextEvent: Math.max(nextEvent, (floor?.event ?? 0) + 1),
  };
}

function replace(options: OpenOptions, why: string): OpenedDatabase {
  const stamp = new Date(options.now).toISOString().replace(/[-:]/g, "").replace(/\..*/, "Z");
  let movedTo = `${options.file}.corrupt-${stamp}`;
  for (let n = 2; existsSync(movedTo); n++) movedTo = `${options.file}.corrupt-${stamp}-${n}`;
  for (const suffix of PARTS) {
    if (existsSync(options.file + suffix)) renameSync(options.file + suffix, movedTo + suffix);
  }
  const begun = begin(options, why);
  return { ...begun, loaded: { ...begun.loaded, movedTo } };
}

/**
 * A new ledger. When one was lost, tokens go on far above whatever it can have given: there are fewer grants than
 * milliseconds since 1970, so the clock is above all of them, also after a second loss.
 */
function begin(options: OpenOptions, lost: string | undefined): OpenedDatabase {
  const { file, now, floor } = options;
  const above = lost === undefined ? 1 : Math.max(now, (floor?.token ?? 0) + 1_000_000);
  const first = {
    nextToken: Math.max(above, (floor?.token ?? 0) + 1),
    nextEvent: (floor?.event ?? 0) + 1,
  };
  // Under another name until it is whole: a berthd that is killed in between begins anew.
  const fresh = `${file}.new`;
  for (const suffix of PARTS) rmSync(fresh + suffix, { force: true });
  let db: DatabaseSync | undefined;
  try {
    db = connect(fresh);
    migrate(db, 0, now, first);
    const found = lost === undefined ? {} : findAgain(db, file);
    db.close();
    options.reached?.("ledger:before-rebuilt");
    renameSync(fresh, file);
    options.reached?.("ledger:after-rebuilt");
    db = connect(file);
    const tables = openTables(db);
    return {
      db,
      tables,
      loaded: { ...load(tables, options), ...first, lost, ...found, ...rebuildingOf(db) },
    };
  } catch (error) {
    if (db?.isOpen) db.close();
    throw storeError(error, `creating ${file}`);
  }
}

/** Puts into a new ledger what its copy has. */
function findAgain(db: DatabaseSync, file: string): Pick<Loaded, "found"> {
  const tables = openTables(db);
  const copy = readCopy(copyOf(file), tables);
  db.exec("BEGIN IMMEDIATE");
  // Each row is of its own table: `Put` says so.
  for (const { table, row } of copy?.puts ?? []) tables[table].put(row as never);
  const isWhole = copy !== undefined && copy.unusable === 0;
  db.exec(`PRAGMA user_version = ${REBUILDING.indexOf(isWhole ? "copy" : "labels")}`);
  db.exec("COMMIT");
  return copy === undefined ? {} : { found: { rows: copy.puts.length, unusable: copy.unusable } };
}

function rebuildingOf(db: DatabaseSync): Pick<Loaded, "rebuilding"> {
  const { user_version: number } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  const rebuilding = REBUILDING[number];
  return rebuilding === undefined ? {} : { rebuilding };
}

/** All is found: what nobody has from here on is nobody's. */
export const endRebuilding = (db: DatabaseSync) => db.exec("PRAGMA user_version = 0");
