/**
 * Which containers have GPUs, and what happens to them. dockerd is asked, and where its word may be old, the kernel.
 *
 * An event is a hint to look, never the news itself: events come late, twice or not at all, and the look tells what is
 * so now. After each interruption, and every minute, listeners are told to look at everything (`unsure`).
 */
import type { Inventory } from "../../../core/gpu";
import type { ContainerEvent, ContainersPort, SeenContainer } from "../service/ports";
import { devicesOf } from "./devices";
import { DockerError, type Engine, short } from "./engine";
import { type EngineEvent, sinceOf } from "./events";
import { claim } from "./labels";
import { mapLimit, pause } from "./lib";
import type { Processes } from "./processes";
import type { Inspect } from "./shapes";

/** The part of a pino logger that is used. */
export interface Log {
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
}

export interface ObserveOptions {
  engine: Engine;
  processes: Processes;
  /** To tell which units `all` or an index stands for. */
  inventory: () => Inventory;
  log: Log;
  /** Seconds between two whole looks. @default 60 */
  reconcileSeconds?: number;
  /** Seconds between two questions whether dockerd still answers. @default 10 */
  probeSeconds?: number;
  /** Milliseconds until the first try to follow the events again; doubled up to 16 times that. @default 250 */
  retryMs?: number;
}

/** What is told of a container. */
const TELLING = new Set(["start", "die", "stop", "kill", "destroy", "oom", "unpause"]);
/** Inspections at a time. */
const PARALLEL = 4;
/** A container that ended while a process of it lives on is looked at again so often. */
const LINGER_MS = 1000;

export class Containers implements ContainersPort {
  private readonly listeners = new Set<(event: ContainerEvent) => void>();
  private readonly ended = new AbortController();
  /** Containers that have no units and no grant; that does not change while they live. */
  private readonly idle = new Set<string>();
  /** Those that do, as they were last seen. */
  private known = new Map<string, SeenContainer>();
  private readonly lingering = new Set<string>();
  private readonly warned = new Set<string>();
  private looks = 0;
  private waiting: (() => void)[] = [];
  private work: Promise<unknown> = Promise.resolve();
  private readonly loops: Promise<void>[] = [];
  private lost: string | undefined;

  constructor(private readonly options: ObserveOptions) {}

  /** Begins to follow the events. */
  follow(): void {
    this.loops.push(this.followEvents(), this.probe());
  }

  onEvent(listener: (event: ContainerEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Why dockerd cannot be read at the moment; undefined: it answers. */
  get problem(): string | undefined {
    return this.lost;
  }

  async listLive(): Promise<SeenContainer[]> {
    this.looks++;
    try {
      return await this.lookAtAll();
    } finally {
      this.looks--;
      if (this.looks === 0) {
        const waiting = this.waiting;
        this.waiting = [];
        // The reader's next step comes first: it brings the ledger in line with what was just seen.
        setImmediate(() => {
          for (const go of waiting) go();
        });
      }
    }
  }

  /**
   * Waits while somebody looks at everything. What is told during such a look would be undone by it: the look began
   * before the container ran, so the ledger would take it for gone.
   */
  async settled(): Promise<void> {
    while (this.looks > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  async stop(container: string, seconds: number): Promise<void> {
    const found = await this.options.engine.inspect(container);
    if (found === undefined) return;
    if (!claim(found.Config?.Labels).ours)
      throw new Error(`container ${short(container)} is not one of Berth's, and is left alone`);
    await this.options.engine.stop(container, seconds);
  }

  async start(container: string): Promise<void> {
    const found = await this.options.engine.inspect(container);
    if (!claim(found?.Config?.Labels).ours)
      throw new Error(`container ${short(container)} is gone, or not one of Berth's`);
    await this.options.engine.start(container);
  }

  async alive(container: string): Promise<boolean> {
    const found = await this.options.engine.inspect(container);
    const running = this.options.processes.running(pids([found], container));
    return running === undefined ? found?.State.Running === true : running.has(container);
  }

  /** Looks at one container, and tells what is so. */
  tell(container: string): Promise<void> {
    const told = this.work.then(() => this.tellNow(container));
    this.work = told.catch(() => {});
    return told;
  }

  async close(): Promise<void> {
    this.ended.abort(new Error("berthd ends"));
    this.listeners.clear();
    await Promise.all(this.loops);
  }

  private async lookAtAll(): Promise<SeenContainer[]> {
    const { engine } = this.options;
    const ids = (await engine.list()).map(({ Id }) => Id);
    const here = new Set(ids);
    for (const id of this.idle) if (!here.has(id)) this.idle.delete(id);
    const toInspect = ids.filter((id) => !this.idle.has(id));
    const found = await mapLimit(toInspect, PARALLEL, (id) => engine.inspect(id));
    const inspected = found.filter((one) => one !== undefined);
    const left = [...this.known.values()].filter(({ container }) => !here.has(container));
    const running = this.options.processes.running(
      pids(inspected, ...left.map(({ container }) => container)),
    );
    // Docker has forgotten them, and a process of theirs still has the devices.
    const seen = left
      .filter(({ container }) => running?.has(container))
      .map((one) => ({ ...one, running: true }));
    for (const one of inspected) {
      const looked = this.judge(one, running);
      if (looked !== undefined) seen.push(looked);
    }
    this.known = new Map(seen.map((one) => [one.container, one]));
    return seen;
  }

  /** Undefined: none that matters to the ledger. */
  private judge(container: Inspect, running: ReadonlySet<string> | undefined): SeenContainer | undefined {
    const labels = claim(container.Config?.Labels);
    const devices = devicesOf(container, this.options.inventory());
    const units = [...new Set([...labels.units, ...devices.units])].sort();
    const name = container.Name.replace(/^\//, "");
    if (devices.privileged && !labels.ours && units.length === 0) {
      this.warnOnce(
        container.Id,
        name,
        "a privileged container sees every GPU of the node; no grant stands for it",
      );
    }
    if (units.length === 0 && labels.grant === undefined) {
      if (!devices.named) this.idle.add(container.Id);
      return undefined;
    }
    const state = container.State;
    const runs = isRunning(container, running);
    if (state.Running && state.Restarting !== true && !runs) {
      this.warnOnce(
        container.Id,
        name,
        "Docker shows it as running, and no process of it lives: it counts as stopped",
      );
    }
    // One that never ran has no devices yet. What others made and stopped, they may start: that is told then.
    if (!runs && (state.Status === "created" || !labels.ours)) return undefined;
    return {
      container: container.Id,
      name,
      user: labels.user,
      units,
      ...(labels.grant === undefined ? {} : { grant: labels.grant }),
      ...(labels.token === undefined ? {} : { token: labels.token }),
      running: runs,
      ...(runs ? {} : heldBack(container)),
      ...(labels.shareMiB === undefined ? {} : { shareMiB: labels.shareMiB }),
    };
  }

  private async tellNow(container: string): Promise<void> {
    const { engine, processes } = this.options;
    if (this.idle.has(container)) return;
    const found = await engine.inspect(container);
    const running = processes.running(pids([found], container));
    await this.settled();
    const looked = found === undefined ? undefined : this.judge(found, running);
    const before = this.known.get(container);
    if (looked?.running) {
      this.known.set(container, looked);
      this.emit({ kind: "started", container, seen: looked });
      return;
    }
    if (found === undefined) this.idle.delete(container);
    if (before === undefined && looked === undefined) return;
    if (running?.has(container)) {
      // dockerd has written it off, and a process of it still has the devices.
      this.linger(container);
      return;
    }
    if (looked !== undefined) {
      this.known.set(container, looked);
      this.emit({ kind: "stopped", container });
      return;
    }
    // Removed, or one of others that ended: nothing is kept for it.
    this.known.delete(container);
    this.emit({ kind: "gone", container });
  }

  private linger(container: string): void {
    if (this.lingering.has(container)) return;
    this.lingering.add(container);
    const timer = setTimeout(() => {
      this.lingering.delete(container);
      if (this.ended.signal.aborted) return;
      this.tell(container).catch((error: unknown) => this.missed(container, error));
    }, LINGER_MS);
    timer.unref();
  }

  private emit(event: ContainerEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private missed(container: string, error: unknown): void {
    this.options.log.warn(
      { container: short(container), error: textOf(error) },
      "a container could not be looked at",
    );
    this.emit({ kind: "unsure" });
  }

  /** Follows the stream of events until the end, over all its interruptions. */
  private async followEvents(): Promise<void> {
    const { engine } = this.options;
    const signal = this.ended.signal;
    const first = this.options.retryMs ?? 250;
    let since = sinceOf(Date.now());
    let wait = first;
    while (!signal.aborted) {
      try {
        const stream = await engine.events(since, signal);
        this.answers();
        // What happened before the stream was open is told by a look at everything.
        this.emit({ kind: "unsure" });
        wait = first;
        let last = "";
        for await (const event of stream) {
          const mark = `${event.at} ${event.action} ${event.container}`;
          if (event.at !== "") since = event.at;
          if (mark !== last) this.react(event);
          last = mark;
        }
        if (!signal.aborted) this.gone(new Error("dockerd ended its stream of events"));
      } catch (error) {
        if (signal.aborted) return;
        this.gone(error);
      }
      if (signal.aborted) return;
      await pause(wait, signal);
      wait = Math.min(wait * 2, first * 16);
    }
  }

  private react(event: EngineEvent): void {
    if (!TELLING.has(event.action)) return;
    this.tell(event.container).catch((error: unknown) => this.missed(event.container, error));
  }

  /** Asks now and then: a stream without events says nothing about a dockerd that hangs. */
  private async probe(): Promise<void> {
    const { engine } = this.options;
    const signal = this.ended.signal;
    const every = (this.options.probeSeconds ?? 10) * 1000;
    const whole = (this.options.reconcileSeconds ?? 60) * 1000;
    let looked = Date.now();
    for (;;) {
      await pause(Math.min(every, whole), signal);
      if (signal.aborted) return;
      try {
        await engine.list(signal);
        const back = this.answers();
        if (back || Date.now() - looked >= whole) {
          looked = Date.now();
          this.emit({ kind: "unsure" });
        }
      } catch (error) {
        if (signal.aborted) return;
        this.gone(error);
      }
    }
  }

  private gone(error: unknown): void {
    const fresh = this.lost === undefined;
    this.lost = textOf(error);
    if (!fresh) return;
    this.options.log.warn({ error: this.lost }, "Docker cannot be read");
    this.emit({ kind: "unsure" });
  }

  /** True: it did not a moment ago. */
  private answers(): boolean {
    const back = this.lost !== undefined;
    if (back) this.options.log.info({}, "Docker answers again");
    this.lost = undefined;
    return back;
  }

  private warnOnce(container: string, name: string, message: string): void {
    const key = `${container} ${message}`;
    if (this.warned.has(key)) return;
    if (this.warned.size > 1000) this.warned.clear();
    this.warned.add(key);
    this.options.log.warn({ container: short(container), name }, message);
  }
}

/** @param living ids with processes; undefined: nobody can tell, and dockerd's word is all there is. */
function isRunning(container: Inspect, living: ReadonlySet<string> | undefined): boolean {
  const { State: state } = container;
  // Between two tries there is no process, and the next one has the devices again.
  if (state.Restarting === true && state.Dead !== true) return true;
  if (living !== undefined) return living.has(container.Id);
  return state.Running || state.Status === "removing" || state.Status === "dead";
}

/**
 * A container that should run, whose start failed for its devices: dockerd restores containers before it knows the CDI
 * devices (moby#49989), and tries no second time. Who stops a container that runs leaves no error behind; one that is down
 * already and has to stay down needs another restart policy.
 */
function heldBack({ HostConfig, State }: Inspect): { heldBack?: string } {
  const wanted = ["always", "unless-stopped"].includes(HostConfig.RestartPolicy?.Name ?? "");
  const why = State.Error ?? "";
  const devices = /could not select device driver|CDI device/.test(why);
  return wanted && devices ? { heldBack: why } : {};
}

/** Each with the process that dockerd names; `others` with none. */
function pids(containers: readonly (Inspect | undefined)[], ...others: string[]): Map<string, number> {
  const result = new Map(others.map((id) => [id, 0]));
  for (const one of containers) if (one !== undefined) result.set(one.Id, one.State.Pid ?? 0);
  return result;
}

function textOf(error: unknown): string {
  if (error instanceof DockerError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
