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
   * @param own that a key always gets, though others have all
   */
  constructor(
    private readonly count: number,
    private readonly mostWaiting: number,
    private readonly all = Number.POSITIVE_INFINITY,
    private readonly own = 0,
  ) {}

  /** How many are taken. */
  get inUse(): number {
    return this.total;
  }

  /** How many of these are taken. */
  inUseOf(key: string): number {
    return this.taken.get(key) ?? 0;
  }

  /** Whether somebody has one of these. */
  isInUse(key: string): boolean {
    return this.inUseOf(key) > 0;
  }

  /** Without waiting. @returns what gives it back, once however often it is called; undefined: none is free */
  takeNow(key: string): (() => void) | undefined {
    if (!this.isFree(key)) return undefined;
    this.begin(key);
    return this.given(key);
  }

  /**
   * Waits for a place.
   *
   * @param signal ends waiting. @default nothing does
   * @returns as of `takeNow`; undefined: too many wait already
   * @throws the signal's reason
   */
  async take(key: string, signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted();
    const now = this.takeNow(key);
    if (now) return now;
    if (this.waiting.filter((one) => one.key === key).length >= this.mostWaiting) return undefined;
    await this.turn(key, signal);
    return this.given(key);
  }

  private given(key: string): () => void {
    let isBack = false;
    return () => {
      if (!isBack) this.end(key);
      isBack = true;
    };
  }

  /** Nobody who waits could have it: they had it when it became free. */
  private isFree(key: string): boolean {
    const mine = this.inUseOf(key);
    return mine < this.count && (mine < this.own || this.total < this.all);
  }

  private begin(key: string): void {
    this.total++;
    this.taken.set(key, this.inUseOf(key) + 1);
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
    const left = this.inUseOf(key) - 1;
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
