import type { DatabaseSync } from "node:sqlite";
import { StoreError } from "./errors";

interface Migration {
  version: number;
  name: string;
  sql: string;
}

/** In order, never edited once released: a later change is a later entry. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    name: "grants, outbox, idempotency keys, tokens",
    sql: `
      CREATE TABLE counters (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        next_token INTEGER NOT NULL,
        next_event INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE grants (
        token INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        user TEXT NOT NULL,
        live INTEGER NOT NULL,
        body TEXT NOT NULL
      ) STRICT;
      CREATE INDEX grants_live ON grants (token) WHERE live = 1;
      CREATE INDEX grants_user ON grants (user, token);
      -- The lines of one turn, under the number of the last.
      CREATE TABLE outbox (seq INTEGER PRIMARY KEY, line TEXT NOT NULL) STRICT;
      CREATE TABLE answered (
        actor TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        grant_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (actor, key)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX answered_at ON answered (at);
      CREATE TABLE tokens (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT;
    `,
  },
  {
    version: 2,
    name: "which keys of the stack's are over",
    // A column, not an index on an expression: that would parse the body of each grant that ends.
    sql: `
      ALTER TABLE grants ADD COLUMN key TEXT;
      UPDATE grants SET key = json_extract(body, '$.key')
        WHERE CASE WHEN json_valid(body) THEN json_extract(body, '$.key') IS NOT NULL END;
      CREATE INDEX grants_over_key ON grants (key) WHERE live = 0 AND key IS NOT NULL;
    `,
  },
  {
    version: 3,
    name: "the journal of operations",
    sql: `
      CREATE TABLE operations (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        step TEXT NOT NULL,
        body TEXT NOT NULL,
        at INTEGER NOT NULL
      ) STRICT;
    `,
  },
  {
    version: 4,
    name: "callbacks that are still to be sent",
    sql: `
      CREATE TABLE callbacks (
        container TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        owner TEXT NOT NULL,
        url TEXT NOT NULL,
        secret TEXT NOT NULL,
        body TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (container, sequence)
      ) STRICT;
    `,
  },
  {
    version: 5,
    name: "containers and volumes of the manager",
    sql: `
      CREATE TABLE managed (id TEXT PRIMARY KEY, gone_at INTEGER, body TEXT NOT NULL) STRICT;
      CREATE INDEX managed_gone ON managed (gone_at) WHERE gone_at IS NOT NULL;
      CREATE TABLE volumes (name TEXT PRIMARY KEY, owner TEXT NOT NULL, used_at INTEGER NOT NULL) STRICT;
    `,
  },
  {
    version: 6,
    name: "set-ups of managed containers, images of main branches",
    sql: `
      CREATE TABLE setups (container TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
      CREATE TABLE main_images (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
    `,
  },
];

export const schemaVersion = Math.max(...migrations.map(({ version }) => version));

/** `BERT`, in the header of the file: this database is Berth's. */
const applicationId = 0x42455254;

/** The version that a database has; 0 for one without tables. Throws `newer`, and `corrupt` for another program's. */
export function readVersion(db: DatabaseSync, file: string): number {
  const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema").get() as { n: number };
  if (tables.n === 0) return 0;
  const id = db.prepare("PRAGMA application_id").get() as { application_id: number };
  if (id.application_id !== applicationId) {
    throw new StoreError("corrupt", `${file} is a database, but not one of Berth's.`);
  }
  const row = db.prepare("SELECT max(version) AS version FROM migrations").get() as {
    version: number | null;
  };
  const version = row.version ?? 0;
  if (version > schemaVersion) {
    throw new StoreError(
      "newer",
      `${file} has schema version ${version}, and this berthd knows versions up to ${schemaVersion}: a later Berth wrote it. Nothing was touched. Start that later version again (npm run up with it), or, to go back for good, stop berthd and move the file away: the ledger is then rebuilt from the containers that run.`,
    );
  }
  return version;
}

/** Brings the schema up to date, each step in a transaction of its own. `first`: the counters of a new ledger. */
export function migrate(
  db: DatabaseSync,
  from: number,
  now: number,
  first: { nextToken: number; nextEvent: number },
): void {
  for (const { version, name, sql } of migrations) {
    if (version <= from) continue;
    db.exec("BEGIN IMMEDIATE");
    try {
      if (version === 1) {
        db.exec(`PRAGMA application_id = ${applicationId}`);
        db.exec(
          "CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
        );
      }
      db.exec(sql);
      if (version === 1) {
        db.prepare("INSERT INTO counters (one, next_token, next_event) VALUES (1, ?, ?)").run(
          first.nextToken,
          first.nextEvent,
        );
      }
      db.prepare("INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, ?)").run(
        version,
        name,
        now,
      );
      db.exec("COMMIT");
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
  }
}
