/**
 * The API's rate limits, as its description states them: a sliding window of an hour and one of a minute for all
 * requests of a token, and a smaller one for listing SSH keys. Each request counts until its own time is over.
 */
export interface RateLimits {
  /** Requests of a token in an hour. @default 5000 */
  readonly hour?: number;
  /** Requests of a token in a minute. @default 250 */
  readonly minute?: number;
  /** `GET /v2/account/keys` in a minute. @default 10 */
  readonly keyLists?: number;
}

const minute = 60_000;
const hour = 60 * minute;

export interface Verdict {
  readonly headers: Readonly<Record<string, string>>;
  readonly refused: boolean;
}

export class RateLimiter {
  private readonly requests = new Map<string, number[]>();

  constructor(
    private readonly limits: Required<RateLimits>,
    private readonly clock: () => number,
  ) {}

  /** Requests counted for the key in the window, and when the oldest of them stops counting. */
  private window(key: string, length: number): { count: number; until: number } {
    const now = this.clock();
    const all = (this.requests.get(key) ?? []).filter((at) => at > now - hour);
    this.requests.set(key, all);
    const within = all.filter((at) => at > now - length);
    return { count: within.length, until: (within[0] ?? now) + length };
  }

  private add(key: string): void {
    this.requests.get(key)?.push(this.clock());
  }

  /** Counts a request, unless it is refused. Headers go with every answer; `retry-after` only with a burst. */
  judge(token: string, listsKeys: boolean): Verdict {
    const hourly = this.window(token, hour);
    const burst = this.window(token, minute);
    const keys = listsKeys ? this.window(`${token} keys`, minute) : { count: 0, until: 0 };
    const overHour = hourly.count >= this.limits.hour;
    const overMinute = burst.count >= this.limits.minute;
    const overKeys = keys.count >= this.limits.keyLists;
    const refused = overHour || overMinute || overKeys;
    if (!refused) {
      this.add(token);
      if (listsKeys) this.add(`${token} keys`);
    }
    const remaining = refused ? 0 : this.limits.hour - hourly.count - 1;
    const wait = Math.max(overMinute ? burst.until : 0, overKeys ? keys.until : 0) - this.clock();
    return {
      refused,
      headers: {
        "ratelimit-limit": String(this.limits.hour),
        "ratelimit-remaining": String(remaining),
        "ratelimit-reset": String(Math.ceil(hourly.until / 1000)),
        ...(refused && !overHour && { "retry-after": String(Math.max(1, Math.ceil(wait / 1000))) }),
      },
    };
  }
}
