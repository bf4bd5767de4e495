/** What tokens are made of, and what is said of them: refusals and events. */
import { hash, randomBytes } from "node:crypto";
import type { Refusal } from "../../../core/gpu";
import type { LedgerEvent } from "../service";
import type { StoredToken } from "../store";

/** What every token begins with, so that one that was leaked is found by scanners. */
export const TOKEN_PREFIX = "berth_";
/** The second form is that of tokens that come with the stack. */
export const TOKEN_SHAPE = /^(berth_[A-Za-z0-9_-]{43}|[0-9a-f]{64})$/;

export interface Wanted {
  role: StoredToken["role"];
  owner?: string;
  name?: string;
  expiresInSeconds?: number;
  requestsPerMinute?: number;
  /** In place of one that came with the stack. */
  declared?: boolean;
}

/** A token that is shown this once, and what is kept of it. */
export interface Made {
  token: string;
  record: StoredToken;
}

/** Roles whose tokens are somebody's, and are good as long as the node has them. */
export function standsForOwner(role: StoredToken["role"]): role is "user" | "tenant" {
  return role === "user" || role === "tenant";
}

export function noOwner({ role, owner }: Wanted): Refusal {
  return {
    code: owner === undefined ? "bad-request" : "unknown-user",
    message:
      owner === undefined
        ? `A token of role ${role} needs an owner: the ${role} that it stands for.`
        : `${owner} is not a ${role} of this node.`,
    ...(role === "tenant" ? tenantsThere : usersThere),
  };
}

const usersThere = {
  allowed: "the users that the stack declares for it",
  fix: "Name a user as owner, or take role service.",
};

const tenantsThere = {
  allowed: "the tenants that /etc/berth/agent/node.json names",
  fix: "Name one of them as owner, or add yours to berth:manager.tenants of the stack, and run npm run up.",
};

/** Characters of a token's id, which are hexadecimal digits. */
export const idLength = 12;

export function newToken(
  { role, owner, name, expiresInSeconds, requestsPerMinute, declared }: Wanted,
  now: number,
): Made {
  const token = TOKEN_PREFIX + randomBytes(32).toString("base64url");
  const record = {
    id: randomBytes(idLength / 2).toString("hex"),
    hash: hash("sha256", token, "hex"),
    role,
    createdAt: now,
    ...(owner !== undefined && { owner }),
    ...(name !== undefined && { name }),
    ...(requestsPerMinute !== undefined && { requestsPerMinute }),
    ...(expiresInSeconds !== undefined && { expiresAt: now + expiresInSeconds * 1000 }),
    ...(declared === true && { declared }),
  };
  return { token, record };
}

export function unknown(id: string): Refusal {
  return { code: "not-found", message: `There is no token ${id}.`, fix: "See: berth token list" };
}

export function rotated(old: StoredToken, made: StoredToken): LedgerEvent {
  return {
    ...event("token-rotated", old),
    message: `Token ${old.id}, role ${old.role}, is replaced by ${made.id}`,
    replaced_by: made.id,
  };
}

export const orphaned = (token: StoredToken): LedgerEvent => ({
  ...event("token-revoked", token),
  message: `Token ${token.id}, role ${token.role}: the node has no ${token.role} ${token.owner} any more`,
});

export function event(name: string, { id, role, owner, name: called }: StoredToken): LedgerEvent {
  return {
    event: name,
    message: `Token ${id}, role ${role}`,
    token_id: id,
    role,
    ...(owner !== undefined && { owner }),
    ...(called !== undefined && { name: called }),
  };
}
