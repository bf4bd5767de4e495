/**
 * What tenants have, a second time: rows of the ledger in a file of its own. Where the ledger is lost they are found here, since
 * nothing else says whose a container is that was claimed from a pool: its labels are of the time when it was made.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { connect, PARTS } from "./connect";
import { type StoreError, storeError } from "./errors";
import type { Put, RowOf, TableName, Tables } from "./tables";

/** Beside the ledger. */
export const copyOf = (ledger: string) => join(dirname(ledger), "tenants.db");

/** Operations about what tenants have. */
const TENANTS_KINDS: ReadonlySet<string> = new Set(["setup", "leave"]);

/** By table: the key of a row that is kept twice; undefined: this one is nothing of a tenant's. */
const KEYS = {
  managed: ({ id }) => id,
  volumes: ({ name }) => name,
  setups: ({ container }) => container,
  mainImages: ({ key }) => key,
  callbacks: ({ container, sequence }) => `${container}/${sequence}`,
  operations: ({ kind, id }) => (TENANTS_KINDS.has(kind) ? id : undefined),
  tokens: ({ role, id }) => (role === "tenant" ? id : undefined),
} satisfies { readonly [Name in TableName]?: (row: RowOf<Name>) => string | undefined };

const KEPT = Object.keys(KEYS) as (keyof typeof KEYS)[];

const isKept = (table: string): table is keyof typeof KEYS => table in KEYS;

/** Between two tries to make good what failed. */
const AGAIN_MS = 1000;

interface KeptRow {
  table: string;
  key: string;
  /** JSON; undefined: the row goes. */
  body?: string;
}

/** @param file its own; made with the first row */
export class TenantCopy {
  private db: DatabaseSync | undefined;
  private trouble: StoreError | undefined;
  private triedAt = 0;
  private hasLog = false;

  constructor(
    private readonly file: string,
    private readonly tables: Tables,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.renew();
    // A damaged one is out of the way by now.
    this.mend();
  }

  /** Set: it lacks something. */
  get problem(): string | undefined {
    if (this.trouble === undefined) return undefined;
    return `what tenants have is not kept twice now (${this.file}), and would go with the ledger: ${this.trouble.message}`;
  }

  /** What a turn has written. The ledger has it already: what fails here fails nobody, and is made good a second later. */
  put(puts: readonly Put[]): void {
    const rows = puts.flatMap(keptRow);
    if (rows.length === 0) return;
    if (this.trouble === undefined) this.write((db) => putRows(db, rows));
    else if (this.now() - this.triedAt >= AGAIN_MS) this.renew();
  }

  /** Makes good what failed. */
  mend(): void {
    if (this.trouble !== undefined) this.renew();
  }

  /** Moves its log into the file, where there is one. */
  checkpoint(): void {
    if (this.hasLog) this.attempt((db) => db.exec("PRAGMA wal_checkpoint(PASSIVE)"));
    this.hasLog = false;
  }

  close(): void {
    this.db?.close();
    this.db = undefined;
  }

  /** Makes it what the ledger has, whatever became of it. One row after another: all of them as texts would fill the memory. */
  private renew(): void {
    this.triedAt = this.now();
    if (!existsSync(this.file) && keptRows(this.tables).next().done) return;
    this.write((db) => {
      db.exec("DELETE FROM kept");
      putRows(db, keptRows(this.tables));
    });
  }

  private write(act: (db: DatabaseSync) => void): void {
    this.attempt((db) => {
      db.exec("BEGIN IMMEDIATE");
      act(db);
      db.exec("COMMIT");
      this.hasLog = true;
    });
  }

  private attempt(act: (db: DatabaseSync) => void): void {
    try {
      this.db ??= openCopy(this.file);
      act(this.db);
      this.trouble = undefined;
    } catch (error) {
      this.trouble = storeError(error, `writing ${this.file}`);
      this.giveUp();
    }
  }

  /**
   * It is opened anew. A file that is none is put aside first. Any other goes: whoever found it would take a container that was
   * claimed since for one that stands ready.
   */
  private giveUp(): void {
    try {
      this.close();
      if (this.trouble?.trouble === "corrupt") putAside(this.file);
      else for (const suffix of PARTS) rmSync(this.file + suffix, { force: true });
    } catch (error) {
      this.trouble = storeError(error, `writing ${this.file}`);
    }
  }
}

/**
 * The rows that a lost ledger's copy has; those that are not as they should be are left out.
 *
 * @param tables of the new ledger, which say what a row must be
 * @returns undefined: there is no copy that can be read
 */
export function readCopy(file: string, tables: Tables): { puts: Put[]; unusable: number } | undefined {
  if (!existsSync(file)) return undefined;
  let db: DatabaseSync | undefined;
  try {
    db = openCopy(file);
    const puts: Put[] = [];
    let unusable = 0;
    for (const row of db.prepare("SELECT name, body FROM kept ORDER BY name, key").iterate()) {
      const put = putOf(`${row.name}`, `${row.body}`, tables);
      if (put === undefined) unusable++;
      else puts.push(put);
    }
    return { puts, unusable };
  } catch (error) {
    if (storeError(error, `reading ${file}`).trouble !== "corrupt") throw error;
    db?.close();
    db = undefined;
    putAside(file);
    return undefined;
  } finally {
    db?.close();
  }
}

function openCopy(file: string): DatabaseSync {
  const db = connect(file);
  try {
    // Rows as texts: their shapes change, and this one never does.
    db.exec(
      "CREATE TABLE IF NOT EXISTS kept (name TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, key)) STRICT, WITHOUT ROWID",
    );
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function putRows(db: DatabaseSync, rows: Iterable<KeptRow>): void {
  const upsert = db.prepare("INSERT OR REPLACE INTO kept (name, key, body) VALUES (?, ?, ?)");
  const remove = db.prepare("DELETE FROM kept WHERE name = ? AND key = ?");
  for (const { table, key, body } of rows) {
    if (body === undefined) remove.run(table, key);
    else upsert.run(table, key, body);
  }
}

function keptRow({ table, row }: Put): KeptRow[] {
  if (!isKept(table)) return [];
  // Each row is of its own table: `Put` says so.
  const key = KEYS[table](row as never);
  if (key === undefined) return [];
  const goes = ("over" in row && row.over === true) || ("state" in row && row.state === "gone");
  return [{ table, key, ...(!goes && { body: JSON.stringify(row) }) }];
}

function putOf(name: string, body: string, tables: Tables): Put | undefined {
  if (!isKept(name)) return undefined;
  try {
    const row: unknown = JSON.parse(body);
    return tables[name].takes(row) ? ({ table: name, row } as Put) : undefined;
  } catch {
    // Of a file that lost a part of it: the others are none the worse.
    return undefined;
  }
}

/** Of all tables; read one table at a time. */
function* keptRows(tables: Tables): Generator<KeptRow> {
  // Each row is of its own table: `Put` says so.
  for (const table of KEPT) for (const row of tables[table].all()) yield* keptRow({ table, row } as Put);
}

function putAside(file: string): void {
  for (const suffix of PARTS)
    if (existsSync(file + suffix)) renameSync(file + suffix, `${file}.unusable${suffix}`);
}
