/** When a call is tried again, and after how long. Pure. */
import type { Settings } from "./settings";

/** A pause that the API asks for is kept, unless it is longer than this: then the call fails and says until when. */
export const LONGEST_TOLD_MS = 5 * 60_000;

/** What a try ended with: an HTTP status, or a connection that failed. */
export interface Outcome {
  /** Undefined: no answer came. */
  readonly status?: number;
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Node's error code where no answer came, `ECONNREFUSED`. */
  readonly code?: string;
}

/**
 * - `done`: an answer that another try would not change.
 * - `safe`: the request was refused before anything was done: any call may be tried again.
 * - `unclear`: it may have been carried out: only calls that do no harm twice may be tried again.
 */
export type Verdict = "done" | "safe" | "unclear";

/** Codes of connections that never came about, so that nothing was sent. */
const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

export function verdict({ status, code }: Outcome): Verdict {
  if (status === undefined) return code !== undefined && UNSENT.has(code) ? "safe" : "unclear";
  if (status === 429) return "safe";
  return status >= 500 && status !== 501 ? "unclear" : "done";
}

/**
 * Milliseconds before the next try.
 *
 * @param attempt 0 for the pause after the first try.
 * @param random from 0 up to 1: spreads callers that were refused together.
 * @param now milliseconds since 1970, for `ratelimit-reset` and dates in `retry-after`.
 * @returns undefined if the API asks for longer than {@link LONGEST_TOLD_MS}.
 */
export function pauseMs(
  { status, headers = {} }: Outcome,
  attempt: number,
  limits: Pick<Settings, "waitMinMs" | "waitMaxMs">,
  random: number,
  now: number,
): number | undefined {
  const told = toldMs(status, headers, now);
  if (told !== undefined) {
    if (told > LONGEST_TOLD_MS) return undefined;
    // Never before the time that was told, and not all at once after it.
    return told + Math.round(random * limits.waitMinMs);
  }
  const ceiling = Math.min(limits.waitMaxMs, limits.waitMinMs * 2 ** attempt);
  return Math.round(ceiling / 2 + (random * ceiling) / 2);
}

function toldMs(
  status: number | undefined,
  headers: Readonly<Record<string, string | undefined>>,
  now: number,
): number | undefined {
  const after = headers["retry-after"];
  if (after !== undefined && after !== "") {
    const seconds = Number(after);
    const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(after) - now;
    if (Number.isFinite(ms)) return Math.max(0, ms);
  }
  if (status !== 429) return undefined;
  // Seconds since 1970 at which the oldest request of the hour falls out of the count.
  const reset = Number(headers["ratelimit-reset"] ?? "");
  // The burst limit of a minute names no time of its own; then a reset in the past says nothing.
  return reset > 0 && reset * 1000 > now ? reset * 1000 - now : undefined;
}
