import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const port = z.looseObject({ container: z.int(), host: z.int(), protocol: z.enum(["tcp", "udp"]) });

const shape = z.looseObject({
  /** The creation: 8 hexadecimal digits. */
  id: z.string(),
  /** The tenant; left out: it stands in the pool, and nobody has it. */
  owner: z.string().optional(),
  /** For people; empty while nobody has it. */
  name: z.string(),
  /**
   * `making`: no container is known of. `warming`: it runs, and its health check has not passed. `leaving`: nobody reaches it any
   * more. `gone`: it is kept for its ports, which nobody gets for a while.
   */
  state: z.enum(["making", "warming", "ready", "leaving", "gone"]),
  /** Docker's id. */
  container: z.string().optional(),
  /** As it was asked for. */
  image: z.string(),
  ports: z.array(port),
  /** What it takes of the node at most. */
  memoryMiB: z.number(),
  cpus: z.number(),
  pids: z.number(),
  diskMiB: z.number(),
  gpus: z.boolean(),
  /** Of whatever is run in it. */
  env: z.record(z.string(), z.string()).optional(),
  /** Docker's name of its volume. */
  volume: z.string().optional(),
  template: z.string().optional(),
  /** `templateHash`, of one that was made for the pool. */
  hash: z.string().optional(),
  /** Made for the pool, whoever has it now. */
  pooled: z.boolean(),
  /** Its owner keeps it for later, and says so. */
  pool: z.boolean().optional(),
  /** Under which it was asked for, and by which account; `fingerprint`: of the request. */
  key: z.looseObject({ account: z.string(), key: z.string(), fingerprint: z.string().optional() }).optional(),
  /** Milliseconds since the epoch, as the others. */
  createdAt: z.number(),
  /** Its container runs since then. */
  ranAt: z.number().optional(),
  claimedAt: z.number().optional(),
  goneAt: z.number().optional(),
});

/** A container of the manager's. */
export type ManagedRow = z.infer<typeof shape>;

/** Rows of containers that are gone are kept for so long, in milliseconds: longer than their ports are. */
const goneFor = 3_600_000;

/** The manager's containers: those of tenants, and those that stand ready. */
export class ManagedRows extends Table<ManagedRow> {
  private readonly upsert = this.db.prepare(
    "INSERT INTO managed (id, gone_at, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET gone_at = excluded.gone_at, body = excluded.body",
  );
  private readonly every = this.db.prepare("SELECT id, body FROM managed ORDER BY id");
  private readonly forget = this.db.prepare("DELETE FROM managed WHERE gone_at < ?");

  constructor(db: DatabaseSync) {
    super(db, "managed", shape);
  }

  put(row: ManagedRow): void {
    this.upsert.run(row.id, row.state === "gone" ? (row.goneAt ?? 0) : null, JSON.stringify(row));
  }

  /** Also those that went a short while ago. */
  all(): ManagedRow[] {
    return this.read(() =>
      (this.every.all() as { id: string; body: string }[]).map(({ id, body }) => this.parsed(id, body)),
    );
  }

  override prune(now: number): void {
    this.forget.run(now - goneFor);
  }
}
