import { Refused } from "./failures";
import { accountOf, type Identity } from "./identity";

/** Keys that are counted at a time; beyond that the oldest are forgotten. */
const mostKeys = 10_000;

/** Counts what happens within a minute, by a key. */
export class Rate {
  /** All windows are equally long, so that the first one ends first. */
  private readonly windows = new Map<string, { count: number; until: number }>();

  constructor(
    /** Milliseconds. By default of a clock that nobody sets, so that a step of the system's shuts nobody out. */
    private readonly now: () => number = () => performance.now(),
    private readonly windowMs = 60_000,
  ) {}

  /** Counts one more. @returns 0; or the seconds until the next may come, where there were `most` already */
  take(key: string, most: number): number {
    const now = this.now();
    const found = this.windows.get(key);
    if (found && found.until > now) {
      if (found.count >= most) return Math.ceil((found.until - now) / 1000);
      found.count++;
      return 0;
    }
    this.windows.delete(key);
    for (const [oldest, { until }] of this.windows) {
      if (until > now && this.windows.size < mostKeys) break;
      this.windows.delete(oldest);
    }
    this.windows.set(key, { count: 1, until: now + this.windowMs });
    return 0;
  }
}

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
