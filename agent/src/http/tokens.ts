import { hash, timingSafeEqual } from "node:crypto";
import { type Refusal, type Result, refuse } from "../../../core/gpu";
import type { LedgerEvent } from "../service";
import type { StoredToken } from "../store";
import type { Identity } from "./identity";
import {
  event,
  idLength,
  type Made,
  newToken,
  noOwner,
  orphaned,
  rotated,
  standsForOwner,
  TOKEN_SHAPE,
  unknown,
  type Wanted,
} from "./token-words";

/** How long the stack's token before stays good, as with `berth token rotate`. */
const keepDeclared = 86_400_000;
/** A use is written down so often at most, in milliseconds. */
const noteEvery = 60_000;

export interface TokenStore {
  all(): StoredToken[];
}
/** Writes them down, all or none. */
export type SaveTokens = (
  tokens: readonly StoredToken[],
  events?: readonly LedgerEvent[],
  by?: string,
) => Promise<Result<readonly StoredToken[]>>;

/** A tenant as node.json names it. */
interface DeclaredTenant {
  name: string;
  /** SHA-256, in hex. */
  tokenHash?: string;
}

/** The bearer tokens of one node: kept as SHA-256, compared in constant time. */
export class Tokens {
  private readonly byHash = new Map<string, StoredToken>();
  /** Hashes of those that ended with their owner, which is not written down yet. */
  private readonly orphans = new Set<string>();
  private noting: Promise<Result<unknown>> | undefined;

  constructor(
    store: TokenStore,
    private readonly save: SaveTokens,
    /** Whether `node.json` names it: a user, or a tenant. */
    private readonly isNamed: (what: "user" | "tenant", name: string) => boolean,
    /** Whether what a tenant had stays, once `node.json` does not name it: it may be named again. */
    private readonly stays: (tenant: string) => boolean,
    private readonly now: () => number = Date.now,
  ) {
    for (const token of store.all()) this.byHash.set(token.hash, token);
  }

  list(): StoredToken[] {
    return [...this.byHash.values()].sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Who presents this token; undefined: it is unknown, expired, revoked, or whom it stands for is not named for the node any more. */
  identify(presented: string): Identity | undefined {
    if (!TOKEN_SHAPE.test(presented)) return undefined;
    const digest = hash("sha256", presented, "hex");
    const token = this.byHash.get(digest);
    if (!token || !timingSafeEqual(Buffer.from(token.hash), Buffer.from(digest))) return undefined;
    if (!this.isGood(token)) return undefined;
    const now = this.now();
    if (token.lastUsedAt === undefined || now - token.lastUsedAt >= noteEvery) {
      const used = { ...token, lastUsedAt: now };
      this.byHash.set(digest, used);
      // Of no weight: where it cannot be written now, the next use is.
      void this.save([used]);
    }
    const { id, requestsPerMinute } = token;
    const known = {
      actor: `token:${id}`,
      token: id,
      ...(requestsPerMinute !== undefined && { requestsPerMinute }),
    };
    const { role, owner } = token;
    return { role, ...(standsForOwner(role) && { [role]: owner }), ...known };
  }

  /**
   * Takes over the tokens that the stack gave out, by their hashes. One that is not known yet replaces the tenant's declared tokens of
   * before, which stay good for a day. One that is known stays as it is: what was revoked or replaced here is not brought back.
   *
   * @returns false: one could not be written down
   */
  async declare(tenants: readonly DeclaredTenant[]): Promise<boolean> {
    let whole = true;
    for (const { name: owner, tokenHash } of tenants) {
      if (tokenHash === undefined || this.byHash.has(tokenHash)) continue;
      const createdAt = this.now();
      const id = tokenHash.slice(0, idLength);
      const record: StoredToken = {
        ...{ id, hash: tokenHash, role: "tenant", owner, name: "stack", createdAt, declared: true },
      };
      const before = this.list().filter((token) => token.declared === true && this.isOpen(token, owner));
      const [last] = before;
      const ending = ({ expiresAt = Infinity }: StoredToken) => ({
        replacedBy: id,
        expiresAt: Math.min(expiresAt, createdAt + keepDeclared),
      });
      const saved = await this.change(before, ending, (changed) =>
        this.save(
          [...changed, record],
          [last ? rotated(last, record) : event("token-made", record)],
          "stack",
        ),
      );
      if (saved.ok) this.keep(record);
      else whole = false;
    }
    return whole;
  }

  /** What is wrong with the tokens that the stack gave out: back-ends were told of them. */
  declaredProblems(tenants: readonly DeclaredTenant[]): string[] {
    return tenants.flatMap(({ name, tokenHash }) => {
      const token = tokenHash === undefined ? undefined : this.byHash.get(tokenHash);
      const why =
        token === undefined
          ? tokenHash !== undefined && "could not be written down yet"
          : token.revokedAt !== undefined
            ? "was revoked"
            : token.replacedBy !== undefined && `was replaced by ${token.replacedBy} on this node`;
      const mend =
        token && ": raise tokenVersion of this tenant in berth:manager.tenants, and run npm run up";
      return why ? [`the stack's token of tenant ${name} ${why}${mend ?? ""}`] : [];
    });
  }

  /** A token of this tenant that is good, and has none in its place. */
  private isOpen(token: StoredToken, tenant: string): boolean {
    const theirs = token.role === "tenant" && token.owner === tenant;
    return theirs && token.replacedBy === undefined && this.isGood(token);
  }

  /** Whether the token of this id is still good. */
  holds(id: string): boolean {
    const token = this.find(id);
    return token !== undefined && this.isGood(token);
  }

  private find(id: string): StoredToken | undefined {
    for (const token of this.byHash.values()) if (token.id === id) return token;
    return undefined;
  }

  private isGood(token: StoredToken): boolean {
    const { revokedAt, expiresAt } = token;
    if (revokedAt !== undefined || (expiresAt !== undefined && expiresAt <= this.now())) return false;
    return this.hasOwner(token);
  }

  /** Whether the node has whom it stands for; true for one that stands for nobody. */
  private hasOwner({ role, owner }: Pick<StoredToken, "role" | "owner">): boolean {
    return !standsForOwner(role) || (owner !== undefined && this.isNamed(role, owner));
  }

  async create(wanted: Wanted, by: string): Promise<Result<Made>> {
    if (!this.hasOwner(wanted)) return refuse(noOwner(wanted));
    const made = newToken(wanted, this.now());
    const saved = await this.save([made.record], [event("token-made", made.record)], by);
    if (!saved.ok) return saved;
    this.keep(made.record);
    return { ok: true, value: made };
  }

  /**
   * Makes a token in place of another one: for the same, and as long-lived as that was made. The old one stays good for
   * so many seconds, and never longer than it was.
   */
  async rotate(id: string, keepSeconds: number, by: string): Promise<Result<Made & { old: StoredToken }>> {
    const token = this.find(id);
    const refusal = token ? this.unfit(token) : unknown(id);
    if (!token || refusal) return refuse(refusal ?? unknown(id));
    const now = this.now();
    const { createdAt, expiresAt = Infinity } = token;
    const lifeSeconds = (expiresAt - createdAt) / 1000;
    const made = newToken(
      { ...token, expiresInSeconds: Number.isFinite(lifeSeconds) ? lifeSeconds : undefined },
      now,
    );
    const ending = { replacedBy: made.record.id, expiresAt: Math.min(expiresAt, now + keepSeconds * 1000) };
    const saved = await this.change(
      [token],
      () => ending,
      ([old = token]) => this.save([old, made.record], [rotated(old, made.record)], by),
    );
    if (!saved.ok) return saved;
    this.keep(made.record);
    return { ok: true, value: { ...made, old: { ...token, ...ending } } };
  }

  /** Why there is to be no other token in its place; undefined: there may be. */
  private unfit(token: StoredToken): Refusal | undefined {
    const { id, role, owner, replacedBy, revokedAt } = token;
    const allowed = "a token that is good, and has none in its place";
    if (replacedBy !== undefined) {
      return {
        code: "conflict",
        message: `Token ${id} was replaced by ${replacedBy}.`,
        allowed,
        fix: `Replace that one: berth token rotate ${replacedBy}`,
      };
    }
    if (this.isGood(token)) return undefined;
    const gone = !this.hasOwner(token);
    const why =
      revokedAt !== undefined ? "was revoked" : gone ? `stands for ${owner}, no ${role} now` : "has expired";
    const whose = standsForOwner(role) ? ` --${role} ${gone ? "NAME" : owner}` : "";
    return {
      code: "conflict",
      message: `Token ${id} ${why}.`,
      allowed,
      fix: `Make a new one: berth token create --role ${role}${whose}`,
    };
  }

  async revoke(id: string, by: string): Promise<Result<StoredToken>> {
    const token = this.find(id);
    if (!token) return refuse(unknown(id));
    // That it ended with its owner may not be written down yet.
    if (token.revokedAt !== undefined && !this.orphans.has(token.hash)) return { ok: true, value: token };
    const { revokedAt = this.now() } = token;
    const saved = await this.change(
      [token],
      () => ({ revokedAt }),
      (revoked) =>
        this.save(
          revoked,
          revoked.map((one) => event("token-revoked", one)),
          by,
        ),
    );
    if (!saved.ok) return saved;
    this.orphans.delete(token.hash);
    return { ok: true, value: { ...token, revokedAt } };
  }

  /** Whose owner may have left while it was written down. */
  private keep(record: StoredToken): void {
    this.byHash.set(record.hash, record);
    this.endOrphans();
  }

  /**
   * Ends, for good, the tokens of those whom the node does not have any more: somebody else may get the name one day.
   * They are ended at once, and `noteOrphans` writes it down. What the stack gave out is good again with its tenant.
   */
  endOrphans(): void {
    for (const token of this.byHash.values()) {
      if (token.revokedAt !== undefined || this.hasOwner(token) || this.mayBeGoodAgain(token)) continue;
      this.byHash.set(token.hash, { ...token, revokedAt: this.now() });
      this.orphans.add(token.hash);
    }
  }

  /** The stack gives out the same one when it names the tenant again, who finds all it had. */
  private mayBeGoodAgain({ declared, replacedBy, owner = "" }: StoredToken): boolean {
    return declared === true && replacedBy === undefined && this.stays(owner);
  }

  /**
   * Writes down which tokens ended with their owner: all in one turn, each once, however often this is called. What could not
   * be written is there the next time.
   */
  noteOrphans(): Promise<Result<unknown>> {
    this.noting ??= this.noteAll().finally(() => {
      this.noting = undefined;
    });
    return this.noting;
  }

  private async noteAll(): Promise<Result<unknown>> {
    // Again for those that end meanwhile.
    while (this.orphans.size > 0) {
      const hashes = [...this.orphans];
      const ended = hashes.flatMap((one) => this.byHash.get(one) ?? []);
      const saved = await this.save(ended, ended.map(orphaned));
      if (!saved.ok) return saved;
      for (const one of hashes) this.orphans.delete(one);
    }
    return { ok: true, value: undefined };
  }

  /** Changes tokens at once, since a use in between would write one down as it was; and back where they are not written. */
  private async change<T>(
    tokens: readonly StoredToken[],
    fieldsOf: (token: StoredToken) => Partial<StoredToken>,
    save: (changed: readonly StoredToken[]) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    const changes = tokens.map((token) => ({ token, fields: fieldsOf(token) }));
    const changed = changes.map(({ token, fields }) => ({ ...token, ...fields }));
    for (const one of changed) this.byHash.set(one.hash, one);
    const saved = await save(changed);
    if (!saved.ok) {
      for (const { token, fields } of changes) this.changeBack(token, Object.keys(fields));
      this.endOrphans();
    }
    return saved;
  }

  /** Only these fields: others may have changed more of it meanwhile. */
  private changeBack(token: StoredToken, fields: readonly string[]): void {
    const before = fields.map((field) => [field, token[field as keyof StoredToken]]);
    this.byHash.set(token.hash, { ...token, ...this.byHash.get(token.hash), ...Object.fromEntries(before) });
  }
}
