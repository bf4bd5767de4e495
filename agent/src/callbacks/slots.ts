/** So many pieces of work at a time for each owner; the others of the same owner wait, first come, first served. */
export class Slots {
  private readonly owners = new Map<string, { busy: number; waiting: (() => void)[] }>();

  constructor(private readonly each: number) {}

  async run<T>(owner: string, work: () => Promise<T>): Promise<T> {
    await this.enter(owner);
    try {
      return await work();
    } finally {
      this.leave(owner);
    }
  }

  /** How many pieces of an owner's work wait. */
  waiting(owner: string): number {
    return this.owners.get(owner)?.waiting.length ?? 0;
  }

  private enter(owner: string): Promise<void> | undefined {
    const line = this.owners.get(owner) ?? { busy: 0, waiting: [] };
    this.owners.set(owner, line);
    if (line.busy >= this.each) return new Promise((resolve) => line.waiting.push(resolve));
    line.busy++;
    return undefined;
  }

  /** Whoever waits takes the place over. */
  private leave(owner: string): void {
    const line = this.owners.get(owner);
    const next = line?.waiting.shift();
    if (next !== undefined) next();
    else if (line !== undefined && --line.busy === 0) this.owners.delete(owner);
  }
}
