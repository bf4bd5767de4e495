/** A few at a time; the others wait in the order in which they came. */
export class Places {
  private taken = 0;
  private readonly waiting: (() => void)[] = [];

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
   * @returns what gives it back, once however often it is called; undefined: too many wait already
   * @throws the signal's reason
   */
  async take(signal: AbortSignal): Promise<(() => void) | undefined> {
    signal.throwIfAborted();
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

  private turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(begin), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
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
