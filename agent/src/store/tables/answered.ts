import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

/** An answer is remembered for a day, in milliseconds. */
const answeredFor = 86_400_000;

const shape = z.object({
  actor: z.string(),
  /** The idempotency key; those of two actors never meet. */
  key: z.string(),
  /** Of the request: the same key with another request is a mistake of the caller's. */
  fingerprint: z.string(),
  grantId: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});

/** An answer already given, so that the same request sent again is not granted again. */
export type Answered = z.infer<typeof shape>;

/** Idempotency keys, by actor and key. */
export class AnsweredKeys extends Table<Answered> {
  private readonly upsert = this.db.prepare(
    "INSERT OR REPLACE INTO answered (actor, key, fingerprint, grant_id, at) VALUES (?, ?, ?, ?, ?)",
  );
  private readonly byKey = this.db.prepare(
    "SELECT actor, key, fingerprint, grant_id AS grantId, at FROM answered WHERE actor = ? AND key = ?",
  );
  private readonly byActor = this.db.prepare(
    "SELECT actor, key, fingerprint, grant_id AS grantId, at FROM answered WHERE actor = ?",
  );
  private readonly byPrefix = this.db.prepare(
    "SELECT DISTINCT actor FROM answered WHERE actor >= ? AND actor < ? AND at >= ?",
  );
  private readonly forget = this.db.prepare("DELETE FROM answered WHERE at < ?");

  constructor(db: DatabaseSync) {
    super(db, "answered", shape);
  }

  put({ actor, key, fingerprint, grantId, at }: Answered): void {
    this.upsert.run(actor, key, fingerprint, grantId, at);
  }

  /** @param now milliseconds since the epoch */
  find(actor: string, key: string, now: number): Answered | undefined {
    return this.read(() => {
      const row = this.byKey.get(actor, key);
      const answered = row && this.checked(`${actor}/${key}`, row);
      return answered && answered.at >= now - answeredFor ? answered : undefined;
    });
  }

  /** All that an actor was answered. */
  of(actor: string): Answered[] {
    return this.read(() => this.byActor.all(actor).map((row) => this.checked(`${actor}/${row.key}`, row)));
  }

  /** Actors whose names begin so, and who have a key that is not over. @param now milliseconds since the epoch */
  actors(prefix: string, now: number): string[] {
    return this.read(() =>
      this.byPrefix.all(prefix, `${prefix}\uffff`, now - answeredFor).map(({ actor }) => String(actor)),
    );
  }

  override prune(now: number): void {
    this.forget.run(now - answeredFor);
  }
}
