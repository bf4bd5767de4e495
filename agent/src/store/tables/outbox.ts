import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

/** A line of the event log that is decided but not yet known to be in the file. */
export interface OutboxLine {
  seq: number;
  line: string;
}

/** The lines of one turn are one row, under the number of the last: most rows are gone again within seconds. */
export class Outbox extends Table<{ seq: number }> {
  private readonly insert = this.db.prepare("INSERT INTO outbox (seq, line) VALUES (?, ?)");
  private readonly remove = this.db.prepare("DELETE FROM outbox WHERE seq <= ?");
  private readonly later = this.db.prepare("SELECT seq, line FROM outbox WHERE seq > ? ORDER BY seq");

  constructor(db: DatabaseSync) {
    super(db, "outbox", z.looseObject({ seq: z.int() }));
  }

  /** @param lines those of one turn, in order */
  append(lines: readonly OutboxLine[]): void {
    const last = lines.at(-1);
    if (last) this.insert.run(last.seq, lines.map(({ line }) => line).join("\n"));
  }

  /** Forgets lines that are safely in the event log, up to this number. */
  forget(written: number): void {
    this.remove.run(written);
  }

  /** Lines that may not be in the event log, in order. */
  after(written: number): OutboxLine[] {
    return this.read(() =>
      (this.later.all(written) as unknown as OutboxLine[])
        .flatMap((row) => row.line.split("\n").map((line) => ({ seq: this.parsed(row.seq, line).seq, line })))
        .filter(({ seq }) => seq > written),
    );
  }
}
