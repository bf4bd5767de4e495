import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.object({
  id: z.string(),
  kind: z.string(),
  /** A user's name, or `system`. */
  owner: z.string(),
  /** The one that has begun. */
  step: z.string(),
  /** What it takes to bring it to an end; how that looks is the kind's own. */
  body: z.unknown(),
  /** When it began, in milliseconds since the epoch. */
  at: z.number(),
  /** It has ended: the row goes. */
  over: z.literal(true).optional(),
});

/** An act of several steps that is under way, or was cut off. */
export type OperationRow = z.infer<typeof shape>;

/** The journal of operations: those that are over are not in it. */
export class OperationRows extends Table<OperationRow> {
  private readonly upsert = this.db.prepare(
    "INSERT INTO operations (id, kind, owner, step, body, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET step = excluded.step, body = excluded.body",
  );
  private readonly remove = this.db.prepare("DELETE FROM operations WHERE id = ?");
  private readonly every = this.db.prepare("SELECT * FROM operations ORDER BY at, id");

  constructor(db: DatabaseSync) {
    super(db, "operations", shape);
  }

  put({ id, kind, owner, step, body, at, over }: OperationRow): void {
    if (over) this.remove.run(id);
    else this.upsert.run(id, kind, owner, step, JSON.stringify(body), at);
  }

  /** The oldest first. */
  all(): OperationRow[] {
    return this.read(() => {
      const rows = this.every.all() as unknown as (Omit<OperationRow, "body"> & { body: string })[];
      return rows.map((row) => this.checked(row.id, { ...row, body: this.json(row.id, row.body) }));
    });
  }
}
