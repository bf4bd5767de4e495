/** A few at a time, and the others in the order in which they came. Pure. */

export class Places {
  private taken = 0;
  private readonly waiting: (() => void)[] = [];

  /** @param mostWaiting Infinity: whoever asks may wait */
  constructor(
    private readonly count: number,
    private readonly mostWaiting: number,
  ) {}

  /** How many have one. */
  get inUse(): number {
    return this.taken;
  }

  /**
   * Waits for a place.
   *
   * @param signal ends waiting. @default nothing does
   * @returns what gives it back, once however often it is called; undefined: too many wait already
   * @throws the signal's reason
   */
  async take(signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted();
    if (this.taken >= this.count) {
      if (this.waiting.length >= this.mostWaiting) return undefined;
      await this.turn(signal);
    } else this.taken++;
    let given = false;
    return () => {
      if (!given) this.next();
      given = true;
    };
  }

  private turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(begin), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.waiting.push(begin);
    });
  }

  /** The place goes to the first who waits, so that nobody comes in between. */
  private next(): void {
    const begin = this.waiting.shift();
    if (begin) begin();
    else this.taken--;
  }
}

/** So many places for each key, such as an owner's name: nobody waits for somebody else's. */
export class PlacesOfEach {
  /** Those that somebody has or waits for. */
  private readonly each = new Map<string, Places>();

  constructor(
    private readonly count: number,
    private readonly mostWaiting: number,
  ) {}

  /** Whether somebody has one of these. */
  isInUse(key: string): boolean {
    return this.each.has(key);
  }

  /** As `take` of `Places`. */
  async take(key: string, signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted();
    const places = this.each.get(key) ?? new Places(this.count, this.mostWaiting);
    this.each.set(key, places);
    const giveBack = await places.take(signal);
    return giveBack && (() => this.giveBack(key, places, giveBack));
  }

  private giveBack(key: string, places: Places, giveBack: () => void): void {
    giveBack();
    if (places.inUse === 0 && this.each.get(key) === places) this.each.delete(key);
  }
}
