/**
 * Follows dockerd's stream of events over all its interruptions, and knows whether dockerd answers: a stream without events
 * says nothing about one that hangs, so its list is asked for as well.
 */
import { type Engine, type EngineEvent, sinceOf } from "../docker";
import { pause } from "../waiting";
import { forLog, type Log } from "./log";

export interface FollowingOptions {
  engine: Engine;
  log: Log;
  /** Seconds after which all containers are looked at, where nobody else did; the ledger does it each minute. @default 90 */
  lookSeconds?: number;
  /** Seconds between two comparisons of dockerd's list with what is known, which also show whether it answers. @default 10 */
  probeSeconds?: number;
  /**
   * Milliseconds until the first try to follow the events again; doubled up to 16 times that, until a stream has lasted
   * as long as the longest of these waits. @default 250
   */
  retryMs?: number;
  react(event: EngineEvent): void;
  /** Compares dockerd's list with what is known. @throws DockerError when dockerd does not answer */
  compare(signal: AbortSignal): Promise<void>;
  /** Looks at everything. @throws DockerError when dockerd does not answer */
  look(): Promise<void>;
  /** When the last whole look ended, in milliseconds since the epoch; -Infinity: none did. */
  lookedAt(): number;
  /** Something may have been missed: only a look at everything tells. */
  unsure(): void;
}

export class Following {
  private readonly ended = new AbortController();
  private readonly loops: Promise<void>[] = [];
  private lost: string | undefined;
  /** Where the events go on after an interruption. */
  private since = "";

  constructor(private readonly options: FollowingOptions) {}

  start(): void {
    this.loops.push(this.followEvents(), this.probe());
  }

  /** Why dockerd cannot be read at the moment; undefined: it answers. */
  get problem(): string | undefined {
    return this.lost;
  }

  get over(): boolean {
    return this.ended.signal.aborted;
  }

  async close(): Promise<void> {
    this.ended.abort(new Error("berthd ends"));
    await Promise.all(this.loops);
  }

  /** dockerd does not answer. */
  gone(error: unknown): void {
    this.options.engine.forget();
    const fresh = this.lost === undefined;
    this.lost = forLog(error);
    if (!fresh) return;
    this.options.log.warn({ error: this.lost }, "Docker cannot be read");
    this.options.unsure();
  }

  /** dockerd answers: where it did not a moment ago, only a whole look tells the ledger what was missed. */
  back(): void {
    if (this.answers()) this.options.unsure();
  }

  /** True: it did not a moment ago. */
  private answers(): boolean {
    const back = this.lost !== undefined;
    if (back) this.options.log.info({}, "Docker answers again");
    this.lost = undefined;
    return back;
  }

  private async followEvents(): Promise<void> {
    const signal = this.ended.signal;
    const first = this.options.retryMs ?? 250;
    const longest = first * 16;
    this.since = sinceOf(Date.now());
    let wait = first;
    while (!signal.aborted) {
      let opened = Number.POSITIVE_INFINITY;
      try {
        const stream = await this.open();
        opened = performance.now();
        await this.reactTo(stream);
        if (!signal.aborted) this.gone(new Error("dockerd ended its stream of events"));
      } catch (error) {
        if (signal.aborted) return;
        this.gone(error);
      }
      if (signal.aborted) return;
      // One that ends as soon as it was opened may do so each time.
      if (performance.now() - opened >= longest) wait = first;
      await pause(wait, signal);
      wait = Math.min(wait * 2, longest);
    }
  }

  private async open(): Promise<AsyncIterable<EngineEvent | undefined>> {
    const { engine, look, unsure } = this.options;
    const signal = this.ended.signal;
    const stream = await engine.events(this.since, signal);
    // Asked now, so that no creation has to wait for it.
    await engine.info(signal);
    this.answers();
    // What happened before the stream was open is told by a look at everything.
    unsure();
    look().catch((error: unknown) => this.gone(error));
    return stream;
  }

  private async reactTo(stream: AsyncIterable<EngineEvent | undefined>): Promise<void> {
    const { engine, react, unsure } = this.options;
    let last = "";
    for await (const event of stream) {
      if (event === undefined) {
        engine.forget();
        unsure();
        continue;
      }
      if (event.at !== "") this.since = event.at;
      const mark = `${event.at} ${event.action} ${event.id}`;
      if (mark !== last) react(event);
      last = mark;
    }
  }

  /** Compares now and then, and looks at everything where nobody did for long. */
  private async probe(): Promise<void> {
    const { compare, look, lookedAt } = this.options;
    const signal = this.ended.signal;
    const every = (this.options.probeSeconds ?? 10) * 1000;
    const whole = (this.options.lookSeconds ?? 90) * 1000;
    for (;;) {
      await pause(Math.min(every, whole), signal);
      if (signal.aborted) return;
      try {
        await compare(signal);
        this.back();
        if (Date.now() - lookedAt() >= whole) await look();
      } catch (error) {
        if (signal.aborted) return;
        this.gone(error);
      }
    }
  }
}
