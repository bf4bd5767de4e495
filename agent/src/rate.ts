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

  /**
   * Counts one more, or one that counts as several.
   *
   * @returns 0; or the seconds until the next may come, where there were `most` already
   */
  take(key: string, most: number, weight = 1): number {
    const now = this.now();
    const found = this.windows.get(key);
    if (found && found.until > now) {
      if (found.count >= most) return Math.ceil((found.until - now) / 1000);
      found.count += weight;
      return 0;
    }
    this.windows.delete(key);
    for (const [oldest, { until }] of this.windows) {
      if (until > now && this.windows.size < mostKeys) break;
      this.windows.delete(oldest);
    }
    this.windows.set(key, { count: weight, until: now + this.windowMs });
    return 0;
  }
}
