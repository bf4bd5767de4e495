import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Grant } from "../../../core/gpu";
import { StoreError, storeError } from "./errors";
import { migrate, readVersion } from "./schema";

export interface OpenOptions {
  file: string;
  now: number;
  /**
   * What is known of the ledger from elsewhere, such as the event log: nothing is numbered lower. `seen`: there was a
   * ledger here before, so that a missing file is a loss.
   */
  floor?: { token: number; event: number; seen: boolean };
}

export interface OpenedDatabase {
  db: DatabaseSync;
  live: Grant[];
  nextToken: number;
  nextEvent: number;
  /** Set: the ledger of before is gone, and how; it must be rebuilt from the containers. */
  lost?: string;
  /** Where the unusable database was moved to. */
  movedTo?: string;
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
  if (!present) return begin(options, options.floor?.seen ? "the database file is missing" : undefined);
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
    return { db, ...load(db, options) };
  } catch (error) {
    db?.close();
    const failed = storeError(error, `opening ${file}`);
    if (failed.trouble !== "corrupt") throw failed;
    return replace(options, failed.message);
  }
}

function connect(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: 5000 });
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  // A checkpoint inside a commit would make that one caller wait for it; the store does them between commits.
  db.exec("PRAGMA wal_autocheckpoint = 0");
  db.exec("PRAGMA foreign_keys = ON");
  db.exec("PRAGMA cache_size = -4096");
  return db;
}

function load(
  db: DatabaseSync,
  { floor }: OpenOptions,
): Pick<OpenedDatabase, "live" | "nextToken" | "nextEvent"> {
  const counters = db.prepare("SELECT next_token, next_event FROM counters").get() as
    | { next_token: number; next_event: number }
    | undefined;
  if (!counters) throw new StoreError("corrupt", "the database has no counters");
  const rows = db.prepare("SELECT token, body FROM grants WHERE live = 1 ORDER BY token").all() as {
    token: number;
    body: string;
  }[];
  const last = db.prepare("SELECT max(token) AS token FROM grants").get() as { token: number | null };
  return {
    live: rows.map(({ token, body }) => readGrant(token, body)),
    // An old copy put back by somebody must not number again what was numbered since.
    nextToken: Math.max(counters.next_token, (last.token ?? 0) + 1, (floor?.token ?? 0) + 1),
    nextEvent: Math.max(counters.next_event, (floor?.event ?? 0) + 1),
  };
}

function readGrant(token: number, body: string): Grant {
  let grant: Grant;
  try {
    grant = JSON.parse(body) as Grant;
  } catch {
    throw new StoreError("corrupt", `the grant with token ${token} is not JSON`);
  }
  const whole =
    typeof grant.id === "string" &&
    grant.token === token &&
    typeof grant.user === "string" &&
    Array.isArray(grant.units) &&
    ["reserved", "bound", "held"].includes(grant.state);
  if (!whole) throw new StoreError("corrupt", `the grant with token ${token} is not whole`);
  return grant;
}

function replace(options: OpenOptions, why: string): OpenedDatabase {
  const stamp = new Date(options.now).toISOString().replace(/[-:]/g, "").replace(/\..*/, "Z");
  let movedTo = `${options.file}.corrupt-${stamp}`;
  for (let n = 2; existsSync(movedTo); n++) movedTo = `${options.file}.corrupt-${stamp}-${n}`;
  // The log first: without its database it is never played into the new one.
  for (const suffix of ["-wal", "-shm", ""]) {
    if (existsSync(options.file + suffix)) renameSync(options.file + suffix, movedTo + suffix);
  }
  return { ...begin(options, why), movedTo };
}

/**
 * A new ledger. When one was lost, tokens go on far above whatever it can have given: there are fewer grants than
 * milliseconds since 1970, so the clock is above all of them, also after a second loss.
 */
function begin({ file, now, floor }: OpenOptions, lost: string | undefined): OpenedDatabase {
  const above = lost === undefined ? 1 : Math.max(now, (floor?.token ?? 0) + 1_000_000);
  const first = {
    nextToken: Math.max(above, (floor?.token ?? 0) + 1),
    nextEvent: (floor?.event ?? 0) + 1,
  };
  let db: DatabaseSync | undefined;
  try {
    db = connect(file);
    migrate(db, 0, now, first);
    return { db, live: [], ...first, lost };
  } catch (error) {
    db?.close();
    throw storeError(error, `creating ${file}`);
  }
}
