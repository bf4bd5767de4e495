import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { SETUP_PHASES } from "../../../../core/manager";
import { Table } from "./table";

const repository = z.object({ host: z.string(), owner: z.string(), name: z.string(), url: z.string() });

const shape = z.object({
  /** By Berth's id. */
  container: z.string(),
  /** The tenant whose container it is. */
  owner: z.string(),
  /** Of the container, for messages of it that are sent when it is gone. */
  name: z.string(),
  hostPort: z.number().optional(),
  repository,
  /** Left out: the main one, until it is known. */
  branch: z.string().optional(),
  commit: z.string().optional(),
  phase: z.enum(SETUP_PHASES),
  /** For people. */
  message: z.string(),
  /** Of the last message; those of a container are numbered over all of its set-ups. */
  sequence: z.int(),
  callback: z.object({ url: z.string(), secret: z.string() }).optional(),
  /** The same key with the same request is the same set-up. */
  key: z.string().optional(),
  /** Of the request. */
  fingerprint: z.string(),
  /** What the start command gets, also after a restart. */
  env: z.record(z.string(), z.string()),
  workdir: z.string(),
  /** The line that is kept running; left out: none, or not known yet. */
  start: z.string().optional(),
  /** When it was asked for, in milliseconds since the epoch. */
  at: z.number(),
  /** When it came to its phase. */
  changedAt: z.number(),
  /** The container is gone: the row goes. */
  over: z.literal(true).optional(),
});

/** The last set-up of a managed container. */
export type SetupRow = z.infer<typeof shape>;

/** The last set-up of each managed container. */
export class SetupRows extends Table<SetupRow> {
  private readonly upsert = this.db.prepare("INSERT OR REPLACE INTO setups (container, body) VALUES (?, ?)");
  private readonly remove = this.db.prepare("DELETE FROM setups WHERE container = ?");
  private readonly every = this.db.prepare("SELECT container, body FROM setups ORDER BY container");

  constructor(db: DatabaseSync) {
    super(db, "setups", shape);
  }

  put(row: SetupRow): void {
    if (row.over) this.remove.run(row.container);
    else this.upsert.run(row.container, JSON.stringify(row));
  }

  all(): SetupRow[] {
    return this.read(() =>
      (this.every.all() as { container: string; body: string }[]).map(({ container, body }) =>
        this.parsed(container, body),
      ),
    );
  }
}
