/**
 * Things that take time. A piece of work starts after the delay of its type and is done when its promise is;
 * a delay of `Infinity` holds it back until `release()`, so that a test looks at the state in between
 * without racing a timer.
 */
import type { ActionInfo } from "./types";

/**
 * Milliseconds, by the API's action type (`create`, `power_on`, `attach_volume`, `assign_ip`, …), or by what takes
 * time without an action: `destroy` (a deleted droplet lets go of its volumes and its VPC), `firewall`.
 */
export type Delay = number | ((type: string) => number);

interface Held {
  readonly type: string;
  readonly go: () => void;
}

export class Works {
  private readonly timers = new Map<NodeJS.Timeout, () => void>();
  private readonly running = new Set<Promise<void>>();
  private held: Held[] = [];
  private closed = false;

  constructor(private delay: Delay) {}

  setDelay(delay: Delay): void {
    this.delay = delay;
  }

  /** Runs `work` after its delay. `done` gets what it threw, or undefined. */
  start(type: string, work: () => unknown, done: (error: unknown) => void): void {
    const run = async () => {
      try {
        await work();
        done(undefined);
      } catch (error) {
        done(error ?? new Error("failed"));
      }
    };
    const promise = new Promise<void>((resolve) => {
      const go = () => {
        if (this.closed) resolve();
        else void run().finally(resolve);
      };
      const delay = typeof this.delay === "number" ? this.delay : this.delay(type);
      if (delay === Number.POSITIVE_INFINITY) {
        this.held.push({ type, go });
        return;
      }
      const timer = setTimeout(() => {
        this.timers.delete(timer);
        go();
      }, delay);
      this.timers.set(timer, go);
    });
    this.running.add(promise);
    void promise.finally(() => this.running.delete(promise));
  }

  /** Lets held work go: all, or the types named. */
  release(...types: string[]): void {
    const chosen = ({ type }: Held) => types.length === 0 || types.includes(type);
    const going = this.held.filter(chosen);
    this.held = this.held.filter((held) => !chosen(held));
    for (const { go } of going) go();
  }

  /** Waits until nothing is under way. Work that is held back must be released first. */
  async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  /** Drops what has not begun and waits for what has. */
  async close(): Promise<void> {
    this.closed = true;
    const waiting = [...this.timers.values(), ...this.held.map(({ go }) => go)];
    for (const timer of this.timers.keys()) clearTimeout(timer);
    this.timers.clear();
    this.held = [];
    for (const go of waiting) go();
    await this.idle();
  }
}

/** Ends an action. */
export function finish(action: ActionInfo, now: string, error: unknown): void {
  action.status = error === undefined ? "completed" : "errored";
  action.completedAt = now;
  if (error !== undefined) action.error = error;
}
