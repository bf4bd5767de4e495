import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { type Grant, strategies } from "../../../../core/gpu";
import { Table } from "./table";

/** Grants that are over are kept for 400 days, in milliseconds. */
const historyFor = 400 * 86_400_000;

/** Grants that one `prune` looks at: nobody is served meanwhile. */
const pruneAtOnce = 500;

const shape: z.ZodType<Grant> = z.looseObject({
  id: z.string(),
  token: z.number(),
  user: z.string(),
  group: z.string(),
  ask: z.looseObject({
    kind: z.enum(["gpu", "mig", "share"]),
    count: z.number(),
    profile: z.string().optional(),
    model: z.string().optional(),
    memoryMiB: z.number().optional(),
    strategy: z.enum(strategies).optional(),
    pins: z.array(z.string()).optional(),
  }),
  units: z.array(
    z.looseObject({
      uuid: z.string(),
      gpu: z.string(),
      name: z.string(),
      model: z.string(),
      memoryMiB: z.number(),
      profile: z.string().optional(),
      shared: z.boolean(),
    }),
  ),
  state: z.enum(["reserved", "bound", "held", "released"]),
  purpose: z.string(),
  key: z.string().optional(),
  dropped: z.boolean().optional(),
  container: z.string().optional(),
  createdAt: z.number(),
  reservedUntil: z.number().optional(),
  boundAt: z.number().optional(),
  awaitedUntil: z.number().optional(),
  stoppedAt: z.number().optional(),
  heldUntil: z.number().nullable().optional(),
  releasedAt: z.number().optional(),
  reason: z.string().optional(),
});

interface Row {
  token: number;
  body: string;
}

/** Grants, live and over, by their token. */
export class Grants extends Table<Grant> {
  private readonly upsert = this.db.prepare(
    "INSERT INTO grants (token, id, user, live, key, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO UPDATE SET live = excluded.live, body = excluded.body",
  );
  private readonly alive = this.db.prepare("SELECT token, body FROM grants WHERE live = 1 ORDER BY token");
  private readonly byId = this.db.prepare("SELECT token, body FROM grants WHERE id = ?");
  private readonly byEither = this.db.prepare("SELECT 1 FROM grants WHERE id = ? OR token = ? LIMIT 1");
  private readonly overByKey = this.db.prepare("SELECT 1 FROM grants WHERE live = 0 AND key = ? LIMIT 1");
  private readonly newest = this.db.prepare(
    "SELECT token, body FROM grants WHERE token < ? ORDER BY token DESC LIMIT ?",
  );
  private readonly newestOf = this.db.prepare(
    "SELECT token, body FROM grants WHERE user = ? AND token < ? ORDER BY token DESC LIMIT ?",
  );
  private readonly last = this.db.prepare("SELECT max(token) AS token FROM grants");
  private readonly oldest = this.db.prepare(
    `SELECT token, CASE WHEN json_valid(body) THEN json_extract(body, '$.releasedAt') END AS at
      FROM grants WHERE live = 0 ORDER BY token LIMIT ${pruneAtOnce}`,
  );
  private readonly remove = this.db.prepare("DELETE FROM grants WHERE token = ?");

  constructor(db: DatabaseSync) {
    super(db, "grants", shape);
  }

  put(grant: Grant): void {
    const live = grant.state === "released" ? 0 : 1;
    const { token, id, user, key = null } = grant;
    this.upsert.run(token, id, user, live, key, JSON.stringify(grant));
  }

  /** Those that are not over, in the order of their tokens. */
  live(): Grant[] {
    return this.all(() => this.alive.all()).map((grant) => {
      if (grant.state === "released") throw this.corrupt(grant.token, "it counts as live, and is released");
      return grant;
    });
  }

  /** One by its id, also one that is over. */
  get(id: string): Grant | undefined {
    return this.read(() => {
      const row = this.byId.get(id) as Row | undefined;
      return row && this.grant(row);
    });
  }

  /** Whether a grant, live or over, has that id or that token. */
  has(id: string, token: number): boolean {
    return this.read(() => this.byEither.get(id, token) !== undefined);
  }

  /** Whether a grant that is over had that key of the stack's. */
  hadKey(key: string): boolean {
    return this.read(() => this.overByKey.get(key) !== undefined);
  }

  /** Newest first, live ones too. `before`: only those whose token is smaller. */
  history({ user, limit, before = Number.MAX_SAFE_INTEGER }: HistoryQuery): Grant[] {
    return this.all(() =>
      user === undefined ? this.newest.all(before, limit) : this.newestOf.all(user, before, limit),
    );
  }

  /** The largest token that was ever written; 0: none was. */
  lastToken(): number {
    return this.read(() => (this.last.get() as { token: number | null }).token ?? 0);
  }

  override prune(now: number): void {
    // A row that cannot be read stays, and keeps nobody from forgetting the rest.
    for (const { token, at } of this.oldest.all() as { token: number; at: number | null }[])
      if (at !== null && at < now - historyFor) this.remove.run(token);
  }

  private all(rows: () => unknown[]): Grant[] {
    return this.read(() => (rows() as Row[]).map((row) => this.grant(row)));
  }

  private grant({ token, body }: Row): Grant {
    const grant = this.parsed(token, body);
    if (grant.token !== token) throw this.corrupt(token, `its body has token ${grant.token}`);
    return grant;
  }
}

interface HistoryQuery {
  user?: string;
  limit: number;
  before?: number;
}
