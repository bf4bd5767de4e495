import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Result } from "../../../core/gpu";
import type { LedgerEvent } from "../service";
import type { StoredToken } from "../store";

/** Who calls: known by the socket that the call came through, or by its bearer token. */
export interface Identity {
  role: "admin" | "user" | "service";
  /** The user that it stands for; none for an operator or a program. */
  user?: string;
  /** As events name it. */
  actor: string;
}

/** True: the caller may see what is that user's. */
export function sees(identity: Identity, user: string): boolean {
  return identity.role !== "user" || identity.user === user;
}

export const root: Identity = { role: "admin", actor: "root" };

/** What every token begins with, so that one that was leaked is found by scanners. */
const prefix = "berth_";
const shape = /^berth_[A-Za-z0-9_-]{43}$/;
/** A use is written down so often at most, in milliseconds. */
const noteEvery = 60_000;

export interface TokenStore {
  all(): StoredToken[];
}
export type SaveToken = (
  token: StoredToken,
  event?: LedgerEvent,
  by?: string,
) => Promise<Result<StoredToken>>;

/** The bearer tokens of one node: kept as SHA-256, compared in constant time. */
export class Tokens {
  private readonly byHash = new Map<string, StoredToken>();

  constructor(
    store: TokenStore,
    private readonly save: SaveToken,
    private readonly isUser: (name: string) => boolean,
    private readonly now: () => number = Date.now,
  ) {
    for (const token of store.all()) this.byHash.set(token.hash, token);
  }

  list(): StoredToken[] {
    return [...this.byHash.values()].sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Who presents this token; undefined: it is unknown, expired, revoked, or its user is no user of the node any more. */
  identify(presented: string): Identity | undefined {
    if (!shape.test(presented)) return undefined;
    const digest = hash("sha256", presented, "hex");
    const token = this.byHash.get(digest);
    if (!token || !timingSafeEqual(Buffer.from(token.hash), Buffer.from(digest))) return undefined;
    const now = this.now();
    if (token.revokedAt !== undefined) return undefined;
    if (token.expiresAt !== undefined && token.expiresAt <= now) return undefined;
    if (token.role === "user" && (token.owner === undefined || !this.isUser(token.owner))) return undefined;
    if (token.lastUsedAt === undefined || now - token.lastUsedAt >= noteEvery) {
      const used = { ...token, lastUsedAt: now };
      this.byHash.set(digest, used);
      // Of no weight: where it cannot be written now, the next use is.
      void this.save(used);
    }
    const actor = `token:${token.id}`;
    return token.role === "user" ? { role: "user", user: token.owner, actor } : { role: token.role, actor };
  }

  async create(
    wanted: { role: StoredToken["role"]; owner?: string; name?: string; expiresInSeconds?: number },
    by: string,
  ): Promise<Result<{ token: string; record: StoredToken }>> {
    if (wanted.role === "user" && (wanted.owner === undefined || !this.isUser(wanted.owner))) {
      return {
        ok: false,
        refusal: {
          code: wanted.owner === undefined ? "bad-request" : "unknown-user",
          message:
            wanted.owner === undefined
              ? "A token of role user needs an owner: the user that it stands for."
              : `${wanted.owner} is not a user of this node.`,
          allowed: "the users that the stack declares for it",
          fix: "Name a user as owner, or take role service.",
        },
      };
    }
    const token = prefix + randomBytes(32).toString("base64url");
    const now = this.now();
    const record: StoredToken = {
      id: randomBytes(6).toString("hex"),
      hash: hash("sha256", token, "hex"),
      role: wanted.role,
      createdAt: now,
      ...(wanted.owner !== undefined && { owner: wanted.owner }),
      ...(wanted.name !== undefined && { name: wanted.name }),
      ...(wanted.expiresInSeconds !== undefined && { expiresAt: now + wanted.expiresInSeconds * 1000 }),
    };
    const saved = await this.save(record, event("token-made", record), by);
    if (!saved.ok) return saved;
    this.byHash.set(record.hash, record);
    return { ok: true, value: { token, record } };
  }

  async revoke(id: string, by: string): Promise<Result<StoredToken>> {
    const token = this.list().find((one) => one.id === id);
    if (!token) {
      return {
        ok: false,
        refusal: { code: "not-found", message: `There is no token ${id}.`, fix: "See: berth token list" },
      };
    }
    if (token.revokedAt !== undefined) return { ok: true, value: token };
    const revoked = { ...token, revokedAt: this.now() };
    // At once: a use in between would write the record down as it was.
    this.byHash.set(revoked.hash, revoked);
    const saved = await this.save(revoked, event("token-revoked", revoked), by);
    if (!saved.ok) this.byHash.set(token.hash, token);
    return saved;
  }
}

function event(name: string, { id, role, owner, name: called }: StoredToken): LedgerEvent {
  return {
    event: name,
    message: `Token ${id}, role ${role}`,
    token_id: id,
    role,
    ...(owner !== undefined && { owner }),
    ...(called !== undefined && { name: called }),
  };
}

/** Failed tries over TCP, by address: after too many within a minute, that address has to wait. */
export class FailureLimit {
  private readonly failures = new Map<string, { count: number; until: number }>();

  constructor(
    private readonly most = 20,
    private readonly windowMs = 60_000,
    private readonly now: () => number = Date.now,
  ) {}

  /** Seconds to wait; 0: none. */
  waits(address: string): number {
    const found = this.failures.get(address);
    const now = this.now();
    if (!found || found.until <= now) return 0;
    return found.count < this.most ? 0 : Math.ceil((found.until - now) / 1000);
  }

  failed(address: string): void {
    const now = this.now();
    // Never more than so many addresses: the oldest are forgotten.
    if (this.failures.size >= 10_000) {
      for (const [known, { until }] of this.failures) if (until <= now) this.failures.delete(known);
      const first = this.failures.keys().next();
      if (this.failures.size >= 10_000 && !first.done) this.failures.delete(first.value);
    }
    const found = this.failures.get(address);
    if (!found || found.until <= now) this.failures.set(address, { count: 1, until: now + this.windowMs });
    else found.count++;
  }
}
