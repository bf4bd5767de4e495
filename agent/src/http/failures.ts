import type { Refusal } from "../../../core/gpu";

/** The HTTP status of each kind of refusal. */
export const statusOf: Record<Refusal["code"], number> = {
  "bad-request": 400,
  "not-allowed": 403,
  "not-found": 404,
  conflict: 409,
  busy: 409,
  "unknown-user": 422,
  "unknown-profile": 422,
  "over-limit": 422,
  impossible: 422,
  closed: 503,
};

/** Thrown by a route: the answer is `{ error: refusal }` with the status of its code, or with `status`. */
export class Refused extends Error {
  readonly statusCode: number;
  constructor(
    readonly refusal: Refusal,
    status?: number,
    readonly headers: Record<string, string> = {},
  ) {
    super(refusal.message);
    this.statusCode = status ?? statusOf[refusal.code];
  }
}

/** What somebody who may not do this is told. */
export function notAllowed(what: string, who: string): Refused {
  return new Refused({
    code: "not-allowed",
    message: `${what} is not for ${who}.`,
    fix: "Ask the operator of the node.",
  });
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
