import type { DatabaseSync, StatementSync } from "node:sqlite";
import { copyOf, TenantCopy } from "./copy";
import { type StoreError, storeError } from "./errors";
import {
  endRebuilding,
  type Loaded,
  type OpenedDatabase,
  type OpenOptions,
  openDatabase,
  type Rebuilding,
} from "./open";
import type { Tables } from "./tables";
import type { Batch } from "./writer";

// About 32 MiB of log. Between commits a checkpoint is cheap to begin and dear to wait for: rarely under load, and
// whenever nobody asks for anything.
const checkpointPages = 8000;

/** The ledger on disk. One per process; all calls are synchronous, and a commit ends with the data on the disk. */
export class Store {
  /** Transactions committed since the start: what proves that a turn costs one. */
  commits = 0;
  readonly loaded: Loaded;
  /** For reading; what writes is called by `commit` and `prune`. */
  readonly tables: Tables;
  private readonly db: DatabaseSync;
  private readonly begin: StatementSync;
  private readonly end: StatementSync;
  private readonly copy: TenantCopy;
  private nextEvent: number;
  private sinceCheckpoint = 0;
  private closed = false;

  private constructor({ db, tables, loaded }: OpenedDatabase, file: string) {
    this.db = db;
    this.tables = tables;
    this.loaded = loaded;
    this.nextEvent = loaded.nextEvent;
    this.begin = db.prepare("BEGIN IMMEDIATE");
    this.end = db.prepare("COMMIT");
    this.copy = new TenantCopy(copyOf(file), tables);
  }

  /** @throws {StoreError} `newer`, `full`, `io`; a corrupt database is moved aside, and `loaded` says so */
  static open(options: OpenOptions): Store {
    return new Store(openDatabase(options), options.file);
  }

  /** Set: what tenants have is not kept twice now. */
  get problem(): string | undefined {
    return this.copy.problem;
  }

  /** Left out: all that a lost ledger had of tenants' is found, or none was lost. */
  get rebuilding(): Rebuilding | undefined {
    return this.loaded.rebuilding;
  }

  /** All of it is found. @throws {StoreError} */
  rebuilt(): void {
    this.transaction("noting that all is found", () => endRebuilding(this.db));
    delete this.loaded.rebuilding;
  }

  /**
   * Writes one turn. Returns when it is on the disk.
   * @throws {StoreError} nothing of it was written then
   */
  commit({ puts, events, nextToken, written }: Batch): void {
    const nextEvent = (events.at(-1)?.seq ?? this.nextEvent - 1) + 1;
    this.transaction("committing", () => {
      // Each row is of its own table: `Put` says so.
      for (const { table, row } of puts) this.tables[table].put(row as never);
      this.tables.outbox.append(events);
      this.tables.counters.set({ nextToken, nextEvent });
      if (written !== undefined) this.tables.outbox.forget(written);
    });
    this.nextEvent = nextEvent;
    this.commits++;
    this.copy.put(puts);
    // A guess of the pages: each row and line dirties a few, and many share one.
    this.sinceCheckpoint += 4 + Math.ceil(puts.length / 2 + events.length / 8);
  }

  /** Forgets what is too old to matter; a little at a time, since nobody is served meanwhile. @throws {StoreError} */
  prune(now: number): void {
    this.transaction("pruning", () => {
      for (const table of Object.values(this.tables)) table.prune(now);
    });
    this.copy.mend();
  }

  private transaction(doing: string, run: () => void): void {
    try {
      this.begin.run();
      run();
      this.end.run();
    } catch (error) {
      const failed = storeError(error, doing);
      this.rollback();
      throw failed;
    }
  }

  private rollback(): void {
    // SQLite may have rolled back by itself; then there is nothing to do.
    if (!this.db.isTransaction) return;
    try {
      this.db.exec("ROLLBACK");
    } catch (error) {
      throw storeError(error, "rolling back");
    }
  }

  /** Moves the log into the database: when it is long, or (`idle`) when there is anything in it. Never throws for a busy disk. */
  checkpoint(idle: boolean): StoreError | undefined {
    if (this.closed || (this.sinceCheckpoint < checkpointPages && !(idle && this.sinceCheckpoint > 0)))
      return undefined;
    this.sinceCheckpoint = 0;
    this.copy.checkpoint();
    try {
      this.db.exec("PRAGMA wal_checkpoint(PASSIVE)");
      return undefined;
    } catch (error) {
      return storeError(error, "writing the log into the database");
    }
  }

  /** Checkpoints and closes; afterwards the database is one file again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.copy.close();
    this.db.close();
  }
}
