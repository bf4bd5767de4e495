import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.looseObject({
  id: z.string(),
  /** SHA-256, hex. */
  hash: z.string(),
  name: z.string().optional(),
  role: z.enum(["admin", "user", "service", "tenant"]),
  /** The user whose grants it may touch, for role `user`; the tenant, for role `tenant`; whose programs use it, else. */
  owner: z.string().optional(),
  /** Milliseconds since the epoch, as the other times. */
  createdAt: z.number(),
  expiresAt: z.number().optional(),
  /** Requests a minute that it may send; left out: what its role may. */
  requestsPerMinute: z.number().optional(),
  revokedAt: z.number().optional(),
  /** Id of the token that was made in its place. */
  replacedBy: z.string().optional(),
  lastUsedAt: z.number().optional(),
  /** It came with the stack, in node.json, or was made in place of such a one. */
  declared: z.boolean().optional(),
});

/** A bearer token as it is kept: never the token itself. */
export type StoredToken = z.infer<typeof shape>;

/** Bearer tokens, by their id. */
export class TokenRecords extends Table<StoredToken> {
  private readonly upsert = this.db.prepare(
    "INSERT INTO tokens (id, hash, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
  );
  private readonly every = this.db.prepare("SELECT id, body FROM tokens");

  constructor(db: DatabaseSync) {
    super(db, "tokens", shape);
  }

  put(token: StoredToken): void {
    this.upsert.run(token.id, token.hash, JSON.stringify(token));
  }

  all(): StoredToken[] {
    return this.read(() =>
      (this.every.all() as { id: string; body: string }[]).map(({ id, body }) => this.parsed(id, body)),
    );
  }
}
