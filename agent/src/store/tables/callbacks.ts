import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.object({
  /** The container that it is about, by Berth's id. */
  container: z.string(),
  /** Its place among those of the container, which are sent in this order. */
  sequence: z.int(),
  /** Whose container it is. */
  owner: z.string(),
  url: z.string(),
  /** What it is signed with. */
  secret: z.string(),
  /** As it is sent: each try is the same to the byte, and so is its signature. */
  body: z.string(),
  /** When it came to be, in milliseconds since the epoch. */
  at: z.number(),
  /** It was taken, or is given up: the row goes. */
  over: z.literal(true).optional(),
});

/** A message to somebody's own server that is still to be sent. */
export type CallbackRow = z.infer<typeof shape>;

/** Messages that are still to be sent; those that were taken are not in it. */
export class CallbackRows extends Table<CallbackRow> {
  private readonly upsert = this.db.prepare(
    "INSERT OR REPLACE INTO callbacks (container, sequence, owner, url, secret, body, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  private readonly remove = this.db.prepare("DELETE FROM callbacks WHERE container = ? AND sequence = ?");
  private readonly every = this.db.prepare("SELECT * FROM callbacks ORDER BY container, sequence");

  constructor(db: DatabaseSync) {
    super(db, "callbacks", shape);
  }

  put({ container, sequence, owner, url, secret, body, at, over }: CallbackRow): void {
    if (over) this.remove.run(container, sequence);
    else this.upsert.run(container, sequence, owner, url, secret, body, at);
  }

  /** Those of one container in the order in which they are sent. */
  all(): CallbackRow[] {
    return this.read(() =>
      this.every.all().map((row) => this.checked(`${row.container}/${row.sequence}`, row)),
    );
  }
}
