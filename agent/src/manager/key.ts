/** What two requests have alike that are the same one, and what is noted of that. Pure. */
import { fingerprintOf } from "../../../core/fingerprint";
import type { WriteTurn } from "./book";
import type { ClaimRequest, ManagedRequest } from "./request";

/** What a request that is sent again is known by. */
export interface Key {
  /** The tenant's. */
  account: string;
  /** As the request has it. */
  key: string;
  /** Of all else in the request. */
  fingerprint: string;
}

/** Undefined: the request has none. */
export function keyFor(
  kind: "create" | "claim",
  { idempotency_key: key, ...request }: ManagedRequest | ClaimRequest,
  { owner }: { owner: string },
): Key | undefined {
  if (key === undefined) return undefined;
  return { account: accountOf(owner), key, fingerprint: fingerprintOf([kind, request]) };
}

/** Of a tenant's keys. */
export const accountOf = (owner: string) => `tenant:${owner}`;

/** As it is noted beside the keys of grants. */
export const keyOf = (key: string) => `container ${key}`;

/** Notes what a key was answered with. @param at 0: it may be used again */
export function answer(turn: WriteTurn, { account, key, fingerprint }: Key, id: string, at = turn.now): void {
  turn.put("answered", { actor: account, key: keyOf(key), fingerprint, grantId: id, at });
}
