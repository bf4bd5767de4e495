import type { Rate } from "../rate";
import { Refused } from "./failures";
import { accountOf, type Identity } from "./identity";

/**
 * Requests a minute, by role: of a token, of a user's socket, and of a tenant over all of its tokens. `npm run up` and the
 * node's root are admins, and a large stack asks a lot at a time. A token may have a number of its own.
 */
const perMinute: Record<Identity["role"], number> = {
  admin: Infinity,
  service: 6000,
  tenant: 6000,
  user: 1200,
};

/** Counts a request. @throws {Refused} 429: its tenant, token or socket sends too many */
export function countRequest(rate: Rate, identity: Identity): void {
  const { role, requestsPerMinute } = identity;
  const most = requestsPerMinute ?? perMinute[role];
  const { key, words } = countedAs(identity, most);
  const wait = rate.take(key, most);
  if (wait === 0) return;
  throw new Refused(
    {
      code: "busy",
      message: `${words} has sent as many requests as it may in a minute.`,
      allowed: `${most} requests a minute`,
      fix: `Wait ${wait} s, then ask again. For a program that needs more: berth token create --rate N`,
    },
    429,
    { "retry-after": String(wait) },
  );
}

/** All tokens of a tenant that may send as many count together: one more, or one in place of another, gives it no more. */
function countedAs(identity: Identity, most: number): { key: string; words: string } {
  if (identity.role !== "tenant") return { key: identity.actor, words: identity.actor };
  const words = accountOf(identity);
  return { key: `${words} ${most}`, words };
}
