import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.object({
  /** Docker's. */
  name: z.string(),
  /** The tenant. */
  owner: z.string(),
  /** When a container was last asked for with it, in milliseconds since the epoch. */
  usedAt: z.number(),
  /** It is removed: the row goes. */
  over: z.literal(true).optional(),
});

/** A volume of a tenant's, which containers come and go with. */
export type VolumeRow = z.infer<typeof shape>;

export class VolumeRows extends Table<VolumeRow> {
  private readonly upsert = this.db.prepare(
    "INSERT OR REPLACE INTO volumes (name, owner, used_at) VALUES (?, ?, ?)",
  );
  private readonly remove = this.db.prepare("DELETE FROM volumes WHERE name = ?");
  private readonly every = this.db.prepare(
    "SELECT name, owner, used_at AS usedAt FROM volumes ORDER BY used_at, name",
  );

  constructor(db: DatabaseSync) {
    super(db, "volumes", shape);
  }

  put({ name, owner, usedAt, over }: VolumeRow): void {
    if (over) this.remove.run(name);
    else this.upsert.run(name, owner, usedAt);
  }

  /** That which was not used for longest first. */
  all(): VolumeRow[] {
    return this.read(() => this.every.all().map((row) => this.checked(String(row.name), row)));
  }
}
