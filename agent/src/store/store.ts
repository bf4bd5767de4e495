import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Grant } from "../../../core/gpu";
import { type StoreError, storeError } from "./errors";
import { type OpenOptions, openDatabase } from "./open";

/** An answer already given, so that the same request sent again is not granted again. */
export interface Answered {
  actor: string;
  key: string;
  /** Of the request: the same key with another request is a mistake of the caller's. */
  fingerprint: string;
  grantId: string;
  at: number;
}

/** A bearer token as it is kept: never the token itself. */
export interface StoredToken {
  id: string;
  /** SHA-256, hex. */
  hash: string;
  name?: string;
  role: "admin" | "user" | "service";
  /** The user whose grants it may touch, for role `user`; whose programs use it, else. */
  owner?: string;
  createdAt: number;
  expiresAt?: number;
  revokedAt?: number;
  lastUsedAt?: number;
}

/** A line of the event log that is decided but not yet known to be in the file. */
export interface OutboxLine {
  seq: number;
  line: string;
}

/** All that one turn decided: written whole, or not at all. */
export interface Batch {
  /** In order: the whole grant each time; the last of one id wins. */
  grants: readonly Grant[];
  nextToken: number;
  events: readonly OutboxLine[];
  answered?: readonly Answered[];
  tokens?: readonly StoredToken[];
  /** Outbox lines up to this one are safely in the event log. */
  written?: number;
}

export interface Loaded {
  live: Grant[];
  nextToken: number;
  nextEvent: number;
  /** Set: the ledger of before is gone; rebuild from the containers. */
  lost?: string;
  movedTo?: string;
}

// About 32 MiB of log. Between commits a checkpoint is cheap to begin and dear to wait for: rarely under load, and
// whenever nobody asks for anything.
const checkpointPages = 8000;

/** Grants that are over are kept so long, in milliseconds: 400 days. */
const historyFor = 400 * 86_400_000;
const answeredFor = 86_400_000;

/** The ledger on disk. One per process; all calls are synchronous, and a commit ends with the data on the disk. */
export class Store {
  /** Transactions committed since the start: what proves that a turn costs one. */
  commits = 0;
  private readonly upsert: StatementSync;
  private readonly count: StatementSync;
  private readonly line: StatementSync;
  private readonly purge: StatementSync;
  private readonly answer: StatementSync;
  private readonly findAnswer: StatementSync;
  private readonly token: StatementSync;
  private readonly byId: StatementSync;
  private readonly byEither: StatementSync;
  private readonly overByKey: StatementSync;
  private readonly begin: StatementSync;
  private readonly end: StatementSync;
  private sinceCheckpoint = 0;
  private closed = false;

  private constructor(
    private readonly db: DatabaseSync,
    readonly loaded: Loaded,
  ) {
    this.begin = db.prepare("BEGIN IMMEDIATE");
    this.end = db.prepare("COMMIT");
    this.upsert = db.prepare(
      "INSERT INTO grants (token, id, user, live, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (token) DO UPDATE SET live = excluded.live, body = excluded.body",
    );
    this.count = db.prepare("UPDATE counters SET next_token = ?, next_event = ?");
    this.line = db.prepare("INSERT INTO outbox (seq, line) VALUES (?, ?)");
    this.purge = db.prepare("DELETE FROM outbox WHERE seq <= ?");
    this.answer = db.prepare(
      "INSERT OR REPLACE INTO answered (actor, key, fingerprint, grant_id, at) VALUES (?, ?, ?, ?, ?)",
    );
    this.findAnswer = db.prepare(
      "SELECT fingerprint, grant_id, at FROM answered WHERE actor = ? AND key = ?",
    );
    this.token = db.prepare(
      "INSERT INTO tokens (id, hash, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    );
    this.byId = db.prepare("SELECT body FROM grants WHERE id = ?");
    this.byEither = db.prepare("SELECT 1 FROM grants WHERE id = ? OR token = ? LIMIT 1");
    this.overByKey = db.prepare(
      "SELECT 1 FROM grants WHERE live = 0 AND json_extract(body, '$.key') = ? LIMIT 1",
    );
  }

  /** @throws {StoreError} `newer`, `full`, `io`; a corrupt database is moved aside, and `loaded` says so */
  static open(options: OpenOptions): Store {
    const { db, ...loaded } = openDatabase(options);
    return new Store(db, loaded);
  }

  /**
   * Writes one turn. Returns when it is on the disk.
   * @throws {StoreError} nothing of it was written then
   */
  commit(batch: Batch): void {
    try {
      this.begin.run();
      for (const grant of batch.grants) {
        const live = grant.state === "released" ? 0 : 1;
        this.upsert.run(grant.token, grant.id, grant.user, live, JSON.stringify(grant));
      }
      const last = batch.events.at(-1)?.seq;
      // One row for the turn: most of them are gone again within seconds.
      if (last !== undefined) this.line.run(last, batch.events.map(({ line }) => line).join("\n"));
      const next = (last ?? this.loaded.nextEvent - 1) + 1;
      this.count.run(batch.nextToken, next);
      for (const one of batch.answered ?? []) {
        this.answer.run(one.actor, one.key, one.fingerprint, one.grantId, one.at);
      }
      for (const token of batch.tokens ?? []) this.token.run(token.id, token.hash, JSON.stringify(token));
      if (batch.written !== undefined) this.purge.run(batch.written);
      this.end.run();
      this.loaded.nextEvent = next;
      this.commits++;
      // A guess of the pages: each grant and line dirties a few, and many share one.
      this.sinceCheckpoint += 4 + Math.ceil(batch.grants.length / 2 + batch.events.length / 8);
    } catch (error) {
      const failed = storeError(error, "committing");
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
    try {
      this.db.exec("PRAGMA wal_checkpoint(PASSIVE)");
      return undefined;
    } catch (error) {
      return storeError(error, "writing the log into the database");
    }
  }

  /** A grant by its id, also one that is over. */
  grant(id: string): Grant | undefined {
    return this.read("looking for a grant", () => {
      const row = this.byId.get(id) as { body: string } | undefined;
      return row && (JSON.parse(row.body) as Grant);
    });
  }

  /** Whether a grant, live or over, has that id or that token. */
  hasGrant(id: string, token: number): boolean {
    return this.read("looking for a grant", () => this.byEither.get(id, token) !== undefined);
  }

  /** Whether a grant that is over had that key of the stack's. Looks through the history. */
  hadKey(key: string): boolean {
    return this.read("looking for a key", () => this.overByKey.get(key) !== undefined);
  }

  /** Newest first, live ones too. */
  history(filter: { user?: string; limit: number; before?: number }): Grant[] {
    const before = filter.before ?? Number.MAX_SAFE_INTEGER;
    return this.read("reading the history", () => {
      const rows =
        filter.user === undefined
          ? this.db
              .prepare("SELECT body FROM grants WHERE token < ? ORDER BY token DESC LIMIT ?")
              .all(before, filter.limit)
          : this.db
              .prepare("SELECT body FROM grants WHERE user = ? AND token < ? ORDER BY token DESC LIMIT ?")
              .all(filter.user, before, filter.limit);
      return (rows as { body: string }[]).map(({ body }) => JSON.parse(body) as Grant);
    });
  }

  answered(actor: string, key: string, now: number): { fingerprint: string; grantId: string } | undefined {
    return this.read("looking for an idempotency key", () => {
      const row = this.findAnswer.get(actor, key) as
        | { fingerprint: string; grant_id: string; at: number }
        | undefined;
      if (!row || row.at < now - answeredFor) return undefined;
      return { fingerprint: row.fingerprint, grantId: row.grant_id };
    });
  }

  tokens(): StoredToken[] {
    return this.read("reading the tokens", () =>
      (this.db.prepare("SELECT body FROM tokens").all() as { body: string }[]).map(
        ({ body }) => JSON.parse(body) as StoredToken,
      ),
    );
  }

  /** Lines that may not be in the event log, in order. */
  outbox(after: number): OutboxLine[] {
    return this.read("reading the outbox", () => {
      const rows = this.db.prepare("SELECT line FROM outbox WHERE seq > ? ORDER BY seq").all(after);
      return (rows as { line: string }[])
        .flatMap((row) => row.line.split("\n"))
        .map((line) => ({ seq: (JSON.parse(line) as { seq: number }).seq, line }))
        .filter(({ seq }) => seq > after);
    });
  }

  /** Forgets what is too old to matter; a little at a time, since nobody is served meanwhile. */
  prune(now: number): void {
    this.read("pruning", () => {
      this.db.prepare("DELETE FROM answered WHERE at < ?").run(now - answeredFor);
      const oldest = this.db.prepare(
        "SELECT token, json_extract(body, '$.releasedAt') AS at FROM grants WHERE live = 0 ORDER BY token LIMIT 500",
      );
      const remove = this.db.prepare("DELETE FROM grants WHERE token = ?");
      const rows = oldest.all() as { token: number; at: number }[];
      this.begin.run();
      try {
        for (const { token, at } of rows) if (at < now - historyFor) remove.run(token);
        this.end.run();
      } catch (error) {
        this.rollback();
        throw error;
      }
    });
  }

  private read<T>(doing: string, run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw storeError(error, doing);
    }
  }

  /** Checkpoints and closes; afterwards the database is one file again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.db.close();
  }
}
