/**
 * What tenants have, a second time: rows of the ledger in a file of its own. Where the ledger is lost they are found here, since
 * nothing else says whose a container is that was claimed from a pool: its labels are of the time when it was made.
 */
import { existsSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { connect } from "./connect";
import { type StoreError, storeError } from "./errors";
import type { Put, RowOf, TableName, Tables } from "./tables";

/** Beside the ledger. */
export const copyOf = (ledger: string) => join(dirname(ledger), "tenants.db");

/** Operations about what tenants have. */
const TENANTS_KINDS: ReadonlySet<string> = new Set(["setup", "leave"]);

/** By table: the key of a row that is kept twice; undefined: this one is nothing of a tenant's. */
const KEYS: { readonly [Name in TableName]?: (row: RowOf<Name>) => string | undefined } = {
  managed: ({ id }) => id,
  volumes: ({ name }) => name,
  setups: ({ container }) => container,
  mainImages: ({ key }) => key,
  callbacks: ({ container, sequence }) => `${container}/${sequence}`,
  operations: ({ kind, id }) => (TENANTS_KINDS.has(kind) ? id : undefined),
  tokens: ({ role, id }) => (role === "tenant" ? id : undefined),
};
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
  private hasLog = false;

  constructor(
    private readonly file: string,
    private readonly tables: Tables,
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

  /** What a turn has written. The ledger has it already: what fails here fails nobody, and is made good by `mend`. */
  put(puts: readonly Put[]): void {
    const rows = puts.flatMap(keptRow);
    if (rows.length === 0 || this.trouble !== undefined) return;
    this.write((db) => putRows(db, rows));
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

  /** Makes it what the ledger has, whatever became of it. */
  private renew(): void {
    const rows = readAll(this.tables).flatMap(keptRow);
    if (rows.length > 0 || existsSync(this.file))
      this.write((db) => {
        db.exec("DELETE FROM kept");
        putRows(db, rows);
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

  /** It is opened anew; a file that is none is put aside first. */
  private giveUp(): void {
    try {
      this.close();
      if (this.trouble?.trouble === "corrupt") putAside(this.file);
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
    const rows = db.prepare("SELECT name, body FROM kept ORDER BY name, key").all() as {
      name: string;
      body: string;
    }[];
    const puts = rows.flatMap(({ name, body }) => putOf(name, body, tables) ?? []);
    return { puts, unusable: rows.length - puts.length };
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

function putRows(db: DatabaseSync, rows: readonly KeptRow[]): void {
  const upsert = db.prepare("INSERT OR REPLACE INTO kept (name, key, body) VALUES (?, ?, ?)");
  const remove = db.prepare("DELETE FROM kept WHERE name = ? AND key = ?");
  for (const { table, key, body } of rows) {
    if (body === undefined) remove.run(table, key);
    else upsert.run(table, key, body);
  }
}

function keptRow({ table, row }: Put): KeptRow[] {
  // Each row is of its own table: `Put` says so.
  const key = KEYS[table]?.(row as never);
  if (key === undefined) return [];
  const goes = ("over" in row && row.over === true) || ("state" in row && row.state === "gone");
  return [{ table, key, ...(!goes && { body: JSON.stringify(row) }) }];
}

function putOf(name: string, body: string, tables: Tables): Put | undefined {
  if (!(name in KEYS)) return undefined;
  try {
    const row: unknown = JSON.parse(body);
    return tables[name as TableName].takes(row) ? ({ table: name, row } as Put) : undefined;
  } catch {
    // Of a file that lost a part of it: the others are none the worse.
    return undefined;
  }
}

const readAll = (tables: Tables): Put[] => [
  ...tables.managed.all().map((row): Put => ({ table: "managed", row })),
  ...tables.volumes.all().map((row): Put => ({ table: "volumes", row })),
  ...tables.setups.all().map((row): Put => ({ table: "setups", row })),
  ...tables.mainImages.all().map((row): Put => ({ table: "mainImages", row })),
  ...tables.callbacks.all().map((row): Put => ({ table: "callbacks", row })),
  ...tables.operations.all().map((row): Put => ({ table: "operations", row })),
  ...tables.tokens.all().map((row): Put => ({ table: "tokens", row })),
];

function putAside(file: string): void {
  for (const suffix of ["-wal", "-shm", ""])
    if (existsSync(file + suffix)) renameSync(file + suffix, `${file}.unusable${suffix}`);
}
