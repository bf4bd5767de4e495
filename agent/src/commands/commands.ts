/**
 * What people and back-ends run in their containers. dockerd hears of those alone that are the caller's. Whatever runs is
 * ended when berthd ends, and at its next start where it had no time for that.
 */
import { randomUUID } from "node:crypto";
import { type Refusal, type Result, refuse } from "../../../core/gpu";
import {
  DockerError,
  type Engine,
  type ExecResult,
  type Stats,
  type Terminal,
  type TerminalSize,
} from "../docker";
import type { Logger } from "../log";
import { noContainer } from "../manager";
import { mapLimit, pause } from "../waiting";
import { AtOnce, type Bounds } from "./at-once";
import type { ManagedContainer, ManagedContainers, PeoplesContainers } from "./ports";
import { callerGone, dockerRefused, notReady, stopped, stopping } from "./refusals";

/** Who asks: a tenant, or a person of the node. */
export interface Owner {
  name: string;
  person: boolean;
}

export interface CommandLimits {
  commands: Bounds;
  terminals: Bounds;
  /** Bytes of each output of a command that are kept. */
  outputBytes: number;
}

export const commandLimits: Readonly<CommandLimits> = {
  commands: { container: 8, owner: 32, own: 4, all: 64 },
  terminals: { container: 8, owner: 32, own: 4, all: 64 },
  // berthd has 256 MB: all commands at once, each with as much as it may, take a quarter of that.
  outputBytes: 512 * 1024,
};

export interface CommandsOptions {
  engine: Pick<Engine, "exec" | "execStream" | "stats" | "endLeft">;
  managed: ManagedContainers;
  people: PeoplesContainers;
  log: Pick<Logger, "warn" | "error" | "info">;
  limits?: Partial<CommandLimits>;
}

export interface CommandAsk {
  /** A line for the container's `/bin/sh`. */
  command: string;
  timeoutMs: number;
  /** Aborted when whoever asked has gone: the command is killed. */
  signal: AbortSignal;
}

export interface TerminalAsk {
  size: TerminalSize;
  /** Hangs up. */
  signal: AbortSignal;
}

/** bash where the container has it. */
const SHELL = "command -v bash >/dev/null && exec bash -i; exec sh -i";
/** A variable of every command that is berthd's to end. */
const VARIABLE = "BERTH_COMMAND";
/** From berthd's stop until it waits no more for commands to end: the next start ends those. */
const STOP_MS = 4000;
/** Containers that are looked at at a time. */
const PARALLEL = 4;

type Target = Pick<ManagedContainer, "id" | "container" | "env">;

export class Commands {
  private readonly options: CommandsOptions;
  private readonly limits: CommandLimits;
  private readonly commands: AtOnce;
  private readonly terminals: AtOnce;
  /** Of this run. */
  private readonly mark = { variable: VARIABLE, value: randomUUID() };
  private readonly looks = new Map<string, Promise<Stats | undefined>>();
  private readonly running = new Set<Promise<unknown>>();
  private readonly stop = new AbortController();

  constructor(options: CommandsOptions) {
    this.options = options;
    this.limits = { ...commandLimits, ...options.limits };
    this.commands = new AtOnce("commands", this.limits.commands);
    this.terminals = new AtOnce("terminals", this.limits.terminals);
  }

  /** Variables of every command that the next start is to end where this run of berthd had no time for that. */
  get environment(): Readonly<Record<string, string>> {
    return { [this.mark.variable]: this.mark.value };
  }

  /** Runs a command to its end, or until its time is over. */
  async exec(owner: Owner, id: string, ask: CommandAsk): Promise<Result<ExecResult>> {
    const begun = this.begin(owner, id, this.commands);
    if (!begun.ok) return begun;
    const { target, done } = begun.value;
    const { command, timeoutMs, signal } = ask;
    const result = this.run(target, signal, (engine) =>
      engine.exec(
        target.container,
        { shell: command, env: { ...target.env, ...this.environment } },
        {
          timeoutMs,
          maxBytes: this.limits.outputBytes,
          signal: AbortSignal.any([signal, this.stop.signal]),
        },
      ),
    );
    return result.finally(done);
  }

  /** Opens a shell with a terminal. */
  async terminal(owner: Owner, id: string, { size, signal }: TerminalAsk): Promise<Result<Terminal>> {
    const begun = this.begin(owner, id, this.terminals);
    if (!begun.ok) return begun;
    const { target, done } = begun.value;
    const opened = await this.run(target, signal, (engine) =>
      engine.execStream(
        target.container,
        { shell: SHELL, env: { TERM: "xterm-256color", ...target.env, ...this.environment } },
        { size, signal: AbortSignal.any([signal, this.stop.signal]) },
      ),
    );
    if (opened.ok) void this.track(opened.value.ended.catch(() => {})).then(done);
    else done();
    return opened;
  }

  /** What a container uses now. Who asks while somebody is being told hears the same. */
  async stats(owner: Owner, id: string): Promise<Result<Stats>> {
    const found = this.find(owner, id);
    if (!found.ok) return found;
    const { container } = found.value;
    const look = await this.run(found.value, undefined, (engine) => {
      const there = this.looks.get(container) ?? engine.stats(container);
      this.looks.set(container, there);
      return there.finally(() => this.looks.delete(container));
    });
    if (!look.ok) return look;
    return look.value === undefined ? refuse(stopped(id)) : { ok: true, value: look.value };
  }

  /** Whether a container is the owner's, without a word of what it does. */
  owns(owner: Owner, id: string): boolean {
    return this.lookUp(owner, id) !== undefined;
  }

  /**
   * At the start: ends what an earlier run of berthd began in these containers.
   *
   * @param containers Docker's ids
   */
  async recover(containers: Iterable<string>): Promise<void> {
    const { engine, log } = this.options;
    const ended = await mapLimit([...containers], PARALLEL, async (container) => {
      try {
        return await engine.endLeft(container, this.mark);
      } catch (error) {
        log.error({ err: error, container }, "commands of before may still run in a container");
        return 0;
      }
    });
    const commands = ended.reduce((sum, one) => sum + one, 0);
    if (commands > 0) log.info({ commands }, "ended commands that nobody waits for since berthd's last end");
  }

  /** Begins no more, and ends what runs. */
  async close(): Promise<void> {
    this.stop.abort(new Error("berthd is stopping"));
    await Promise.race([Promise.allSettled(this.running), pause(STOP_MS)]);
  }

  private begin(owner: Owner, id: string, places: AtOnce): Result<{ target: Target; done: () => void }> {
    if (this.stop.signal.aborted) return refuse(stopping);
    const found = this.find(owner, id);
    if (!found.ok) return found;
    const place = places.take(owner.name, found.value.id);
    return place.ok ? { ok: true, value: { target: found.value, done: place.value } } : place;
  }

  private find(owner: Owner, id: string): Result<Target> {
    const found = this.lookUp(owner, id);
    if (found === undefined) return refuse(noContainer(id));
    return found.state === "ready" ? { ok: true, value: found } : refuse(notReady(id, found.state));
  }

  private lookUp({ name, person }: Owner, id: string) {
    const managed = this.options.managed.find(name, id);
    if (managed !== undefined || !person) return managed;
    const theirs = this.options.people.get(id);
    if (theirs?.kind !== "created" || theirs.owner !== name) return undefined;
    return { id: theirs.id, container: theirs.id, state: "ready" as const, env: {} };
  }

  private track<T>(work: Promise<T>): Promise<T> {
    const over = work.finally(() => this.running.delete(over));
    this.running.add(over);
    return over;
  }

  /** @param signal of whoever asked */
  private async run<T>(
    { id }: Target,
    signal: AbortSignal | undefined,
    work: (engine: CommandsOptions["engine"]) => Promise<T>,
  ): Promise<Result<T>> {
    try {
      return { ok: true, value: await this.track(work(this.options.engine)) };
    } catch (error) {
      if (error === signal?.reason) return refuse(callerGone);
      return refuse(error === this.stop.signal.reason ? stopping : this.refusalOf(id, error));
    }
  }

  private refusalOf(id: string, error: unknown): Refusal {
    if (!(error instanceof DockerError)) throw error;
    if (error.status !== 404 && error.status !== 409)
      this.options.log.warn({ err: error, container: id }, "nothing could be run in a container");
    return dockerRefused(id, error);
  }
}
