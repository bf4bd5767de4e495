/** How many set-ups are done at a time, and how many may wait: {@link Places} has those at a time. */
export interface SetupPlaces {
  /** At a time. @default 4 */
  all: number;
  /** Of those, of one owner. @default 2 */
  owner: number;
  /** At a time or waiting. @default 128 */
  mostOfAll: number;
  /** Of those, of one owner. @default 16 */
  mostOfOwner: number;
}

export const defaultPlaces: SetupPlaces = { all: 4, owner: 2, mostOfAll: 128, mostOfOwner: 16 };

interface Waiting {
  owner: string;
  go(): void;
}

/** First come, first served; whoever has as many as one may is passed over. */
export class Places {
  private readonly busy: string[] = [];
  private waiting: Waiting[] = [];

  constructor(private readonly most: Pick<SetupPlaces, "all" | "owner">) {}

  /** @returns gives it back, once. @throws the signal's reason */
  async take(owner: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.waiting = this.waiting.filter((other) => other !== one);
        reject(signal.reason);
      };
      const one: Waiting = {
        owner,
        go: () => {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      this.waiting.push(one);
      this.next();
    });
    return () => this.give(owner);
  }

  private give(owner: string): void {
    this.busy.splice(this.busy.indexOf(owner), 1);
    this.next();
  }

  private next(): void {
    for (;;) {
      const next = this.waiting.find(({ owner }) => this.mayBegin(owner));
      if (next === undefined) return;
      this.waiting = this.waiting.filter((one) => one !== next);
      this.busy.push(next.owner);
      next.go();
    }
  }

  private mayBegin(owner: string): boolean {
    const own = this.busy.filter((one) => one === owner).length;
    return this.busy.length < this.most.all && own < this.most.owner;
  }
}
