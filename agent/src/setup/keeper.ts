/** Keeps start commands running, and follows what containers print: over restarts of containers, of dockerd and of berthd. */
import type { Engine } from "../docker";
import { pause } from "../waiting";
import type { LogFollower } from "./follow";
import type { Inside, StartCommand } from "./inside";

export interface KeeperOptions {
  engine: Pick<Engine, "inspect">;
  inside: Pick<Inside, "launch">;
  follower: Pick<LogFollower, "follow" | "forget">;
  log: { warn(data: object, message: string): void };
  /** @default 10 minutes */
  lookEveryMs?: number;
}

/** Docker's stream of a log may stop in silence, and the supervisor may have been killed: both are looked after anew. */
const LOOK_EVERY_MS = 600_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

interface Kept {
  /** Ends it. */
  ended: AbortController;
  /** Ends the pause that it is in. */
  wake: AbortController;
  done: Promise<void>;
}

export class StartKeeper {
  private readonly kept = new Map<string, Kept>();

  constructor(private readonly options: KeeperOptions) {}

  /** From now on; in the place of the container's last one. */
  keep(command: StartCommand): void {
    const before = this.kept.get(command.id);
    before?.ended.abort();
    const kept: Kept = { ended: new AbortController(), wake: new AbortController(), done: Promise.resolve() };
    this.kept.set(command.id, kept);
    kept.done = (before?.done ?? Promise.resolve()).then(() => this.loop(command, kept));
  }

  /** The container may just have been started. */
  wake(id: string): void {
    this.kept.get(id)?.wake.abort();
  }

  /** No more: what runs in the container is left as it is. */
  async drop(id: string): Promise<void> {
    const kept = this.kept.get(id);
    kept?.ended.abort();
    await kept?.done;
    if (this.kept.get(id) !== kept) return;
    this.kept.delete(id);
    this.options.follower.forget(id);
  }

  async close(): Promise<void> {
    const all = [...this.kept.values()];
    for (const { ended } of all) ended.abort();
    await Promise.all(all.map(({ done }) => done));
  }

  private async loop(command: StartCommand, kept: Kept): Promise<void> {
    const { signal } = kept.ended;
    for (let failures = 0; !signal.aborted; ) {
      const went = await this.once(command, signal);
      if (went === "over") return;
      failures = went === "well" ? 0 : failures + 1;
      await pause(backOff(failures), AbortSignal.any([signal, kept.wake.signal]));
      if (kept.wake.signal.aborted) kept.wake = new AbortController();
    }
  }

  /** `over`: its log takes no more lines. */
  private async once(command: StartCommand, signal: AbortSignal): Promise<"well" | "not" | "over"> {
    const { engine, inside, follower, log, lookEveryMs = LOOK_EVERY_MS } = this.options;
    const look = AbortSignal.timeout(lookEveryMs);
    try {
      const seen = await engine.inspect(command.container, signal);
      if (seen?.State.Running !== true || seen.State.Paused === true) return "not";
      await inside.launch(command);
      const more = await follower.follow(command.id, command.container, AbortSignal.any([signal, look]));
      return more ? "well" : "over";
    } catch (error) {
      if (signal.aborted || look.aborted) return "well";
      log.warn(
        { container: command.id, reason: error instanceof Error ? error.message : String(error) },
        "a start command cannot be looked after; tried again",
      );
      return "not";
    }
  }
}

const backOff = (failures: number) => Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
