/** A few at a time, and the others in the order in which they came. Pure. */

interface Waiting {
  key: string;
  begin(): void;
}

/** So many places for each key, such as an owner's name: who has as many as one may is passed over, and holds up nobody else. */
export class PlacesOfEach {
  private readonly taken = new Map<string, number>();
  private readonly waiting: Waiting[] = [];
  private total = 0;

  /**
   * @param count of one key
   * @param mostWaiting of one key. Infinity: whoever asks may wait
   * @param all of all keys together
   */
  constructor(
    private readonly count: number,
    private readonly mostWaiting: number,
    private readonly all = Number.POSITIVE_INFINITY,
  ) {}

  /** How many are taken. */
  get inUse(): number {
    return this.total;
  }

  /** Whether somebody has one of these. */
  isInUse(key: string): boolean {
    return this.taken.has(key);
  }

  /**
   * Waits for a place.
   *
   * @param signal ends waiting. @default nothing does
   * @returns what gives it back, once however often it is called; undefined: too many wait already
   * @throws the signal's reason
   */
  async take(key: string, signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted();
    if (this.isFree(key)) this.begin(key);
    else if (this.waiting.filter((one) => one.key === key).length >= this.mostWaiting) return undefined;
    else await this.turn(key, signal);
    let given = false;
    return () => {
      if (!given) this.end(key);
      given = true;
    };
  }

  /** Nobody who waits could have it: they had it when it became free. */
  private isFree(key: string): boolean {
    return this.total < this.all && (this.taken.get(key) ?? 0) < this.count;
  }

  private begin(key: string): void {
    this.total++;
    this.taken.set(key, (this.taken.get(key) ?? 0) + 1);
  }

  private turn(key: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const one = {
        key,
        begin: () => {
          signal?.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(one), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.waiting.push(one);
    });
  }

  /** The place goes to the first who may have it, so that nobody comes in between. */
  private end(key: string): void {
    this.total--;
    const left = (this.taken.get(key) ?? 1) - 1;
    if (left > 0) this.taken.set(key, left);
    else this.taken.delete(key);
    const at = this.waiting.findIndex((one) => this.isFree(one.key));
    const [next] = at < 0 ? [] : this.waiting.splice(at, 1);
    if (next === undefined) return;
    this.begin(next.key);
    next.begin();
  }
}

/** The same, of one key. */
export class Places {
  private readonly one: PlacesOfEach;

  constructor(count: number, mostWaiting: number) {
    this.one = new PlacesOfEach(count, mostWaiting);
  }

  /** How many have one. */
  get inUse(): number {
    return this.one.inUse;
  }

  /** As `take` of `PlacesOfEach`. */
  take(signal?: AbortSignal): Promise<(() => void) | undefined> {
    return this.one.take("", signal);
  }
}
