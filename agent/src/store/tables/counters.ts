import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.object({
  /** Of a grant's fencing token. */
  nextToken: z.int(),
  /** Of a line in the event log. */
  nextEvent: z.int(),
});

/** The numbers that come next: none is ever given twice. */
export type NextNumbers = z.infer<typeof shape>;

/** One row. */
export class Counters extends Table<NextNumbers> {
  private readonly update = this.db.prepare("UPDATE counters SET next_token = ?, next_event = ?");
  private readonly row = this.db.prepare(
    "SELECT next_token AS nextToken, next_event AS nextEvent FROM counters WHERE one = 1",
  );

  constructor(db: DatabaseSync) {
    super(db, "counters", shape);
  }

  set({ nextToken, nextEvent }: NextNumbers): void {
    this.update.run(nextToken, nextEvent);
  }

  get(): NextNumbers {
    return this.read(() => this.checked(1, this.row.get()));
  }
}
