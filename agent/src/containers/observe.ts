/**
 * Keeps the registry of containers true, and tells the ledger what happens to those that have GPUs. dockerd is asked, and
 * where its word may be old, the kernel.
 *
 * An event is a hint to look, never the news itself: events come late, twice or not at all, and the look tells what is
 * so now. After each interruption listeners are told to look at everything (`unsure`); what an interruption that nobody
 * noticed has hidden, the next probe finds.
 */
import { claim, LABEL } from "../../../core/containers";
import type { Inventory } from "../../../core/gpu";
import { type EngineEvent, type Inspect, short } from "../docker";
import type { ContainerEvent, ContainersPort, SeenContainer } from "../service/ports";
import { mapLimit } from "../waiting";
import { Following, type FollowingOptions } from "./following";
import { forLog } from "./log";
import type { Processes } from "./processes";
import { type ContainerRecord, forgotten, isAsListed, isOurs, recordOf, seenByLedger } from "./record";
import { ContainerRegistry } from "./registry";

export interface ObserveOptions
  extends Pick<FollowingOptions, "engine" | "log" | "lookSeconds" | "probeSeconds" | "retryMs"> {
  processes: Processes;
  /** To tell which units `all` or an index stands for. */
  inventory: () => Inventory;
}

/** What may change a record. An `exec_create: sh -c …` and the like change nothing of the container. */
const TELLING = new Set([
  ...["create", "start", "restart", "die", "stop", "kill", "oom", "destroy"],
  ...["pause", "unpause", "rename", "health_status"],
]);
/** What dockerd said before of its images, networks and settings is over. */
const MAKES_VOID = new Set([
  ...["image delete", "image untag", "image prune"],
  // A name may be another image's now.
  ...["image tag", "image pull", "image load", "image import"],
  ...["network destroy", "network prune", "daemon reload"],
]);
/** Inspections at a time. */
const PARALLEL = 4;
/** A container that ended while a process of it lives on is looked at again so often. */
const LINGER_MS = 1000;

export class Containers implements ContainersPort {
  private readonly registry = new ContainerRegistry();
  private readonly listeners = new Set<(event: ContainerEvent) => void>();
  private readonly following: Following;
  private readonly lingering = new Set<string>();
  private readonly warned = new Set<string>();
  /** By container: a look that has not begun yet, so that whatever is told until then needs no other. */
  private readonly toTell = new Map<string, Promise<void>>();
  /** By creation of this berthd's. `over`: whoever made it has looked; its `start` may be told still. */
  private readonly awaited = new Map<string, { started: boolean; over: boolean }>();
  /** Looks at single containers, one after the other: at those that matter to the ledger, or may, and at the others. */
  private work: Promise<unknown> = Promise.resolve();
  private quietWork: Promise<unknown> = Promise.resolve();
  private looking: Promise<void> | undefined;
  private nextLook: Promise<void> | undefined;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private waiting: (() => void)[] = [];

  constructor(private readonly options: ObserveOptions) {
    this.following = new Following({
      ...options,
      react: (event) => this.react(event),
      compare: (signal) => this.compareNow(signal),
      look: () => this.look(),
      lookedAt: () => this.lookedAt,
      unsure: () => this.emit({ kind: "unsure" }),
    });
  }

  /** Begins to follow the events. */
  follow(): void {
    this.following.start();
  }

  onEvent(listener: (event: ContainerEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Why dockerd cannot be read at the moment; undefined: it answers. */
  get problem(): string | undefined {
    return this.following.problem;
  }

  /** By its whole id or its name, from memory, as are `list`; see `current`. */
  get(container: string): ContainerRecord | undefined {
    return this.registry.get(container);
  }

  /** @param owner a user's name; left out: all containers of the node */
  list(owner?: string): ContainerRecord[] {
    return this.registry.list(owner);
  }

  /**
   * Returns at once where the containers are followed and known; else looks at all of them.
   *
   * @throws DockerError when dockerd does not answer: what is in memory may be old then.
   */
  async current(): Promise<void> {
    if (this.problem !== undefined || this.lookedAt === Number.NEGATIVE_INFINITY) await this.look();
  }

  async listLive(): Promise<SeenContainer[]> {
    await this.look();
    return this.registry.list().flatMap((record) => seenByLedger(record) ?? []);
  }

  /**
   * Waits while somebody looks at everything. What is told during such a look would be undone by it: the look began
   * before the container ran, so the ledger would take it for gone.
   *
   * @returns whether it had to wait
   */
  async settled(): Promise<boolean> {
    const waits = this.looking !== undefined;
    while (this.looking !== undefined) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return waits;
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

  /**
   * Until the answer is called, whoever makes this creation looks at its container: its first events are no news.
   *
   * @returns to be called at the end of the creation; `looked` false: it failed, and what is left of it is looked for.
   */
  await(creation: string): (looked: boolean) => void {
    const first = { started: false, over: false };
    this.awaited.set(creation, first);
    return (looked) => {
      if (looked && !first.started) first.over = true;
      else this.awaited.delete(creation);
      if (!looked) this.compareNow().catch((error: unknown) => this.following.gone(error));
    };
  }

  /** Looks at one container, and tells what is so. */
  tell(container: string): Promise<void> {
    const before = this.toTell.get(container);
    if (before !== undefined) return before;
    const quiet = this.registry.get(container)?.usesGpus === false;
    const told = (quiet ? this.quietWork : this.work).then(() => {
      this.toTell.delete(container);
      return this.tellNow(container);
    });
    this.toTell.set(container, told);
    const over = told.catch(() => {}); // whoever asked hears of it
    if (quiet) this.quietWork = over;
    else this.work = over;
    return told;
  }

  async close(): Promise<void> {
    this.listeners.clear();
    await this.following.close();
  }

  /** Looks at everything. Whoever asks in the same turn shares a look; one that is under way may be too old. */
  private look(): Promise<void> {
    this.nextLook ??= (async () => {
      await this.looking?.catch(() => {}); // whoever began that one hears of it
      await new Promise((resolve) => setImmediate(resolve));
      this.nextLook = undefined;
      this.looking = this.lookAtAll();
      try {
        await this.looking;
      } finally {
        this.looking = undefined;
        const waiting = this.waiting;
        this.waiting = [];
        // The reader's next step comes first: it brings the ledger in line with what was just seen.
        setImmediate(() => {
          for (const go of waiting) go();
        });
      }
      setImmediate(() => this.emit({ kind: "looked" }));
    })();
    return this.nextLook;
  }

  private async lookAtAll(): Promise<void> {
    const { engine, processes } = this.options;
    const listed = await engine.list();
    const here = new Set(listed.map(({ Id }) => Id));
    const toInspect = listed.filter((one) => {
      const record = this.registry.get(one.Id);
      // Without GPUs it is none of the ledger's, and the list shows what else may have changed.
      return record === undefined || record.usesGpus || !isAsListed(record, one);
    });
    const found = await mapLimit(toInspect, PARALLEL, ({ Id }) => this.inspectFor(Id));
    const inspected = found.filter((one) => one !== undefined);
    const left = this.registry.list().filter(({ id }) => !here.has(id));
    const asked = left.filter(({ usesGpus }) => usesGpus).map(({ id }) => id);
    const running = processes.running(pids(inspected, ...asked));
    for (const record of left) {
      // Docker has forgotten it, and a process of it may still have the devices.
      if (running?.has(record.id) && record.usesGpus) this.registry.put(forgotten(record));
      else this.registry.delete(record.id);
    }
    for (const one of inspected) this.keep(one, running);
    for (const [creation, { over }] of this.awaited) if (over) this.awaited.delete(creation);
    this.lookedAt = Date.now();
    // Else whoever needs what is so now would look again and again.
    this.following.back();
  }

  /** For a whole look. One without GPUs that dockerd cannot show now stays as it was known: it must not close the ledger. */
  private async inspectFor(container: string): Promise<Inspect | undefined> {
    try {
      return await this.options.engine.inspect(container);
    } catch (error) {
      if (this.registry.get(container)?.usesGpus !== false) throw error;
      this.cannotLook(container, error);
      return undefined;
    }
  }

  private keep(container: Inspect, running: ReadonlySet<string> | undefined): ContainerRecord {
    const record = recordOf(container, this.options.inventory(), running);
    const { id, name } = record;
    this.registry.put(record);
    if (record.privileged && !isOurs(record) && record.units.length === 0) {
      this.warnOnce(id, name, "a privileged container sees every GPU of the node; no grant stands for it");
    }
    const { Running, Restarting } = container.State;
    if (record.usesGpus && Running && Restarting !== true && !record.runs) {
      this.warnOnce(id, name, "Docker shows it as running, and no process of it lives: it counts as stopped");
    }
    return record;
  }

  private async tellNow(container: string): Promise<void> {
    const { engine, processes } = this.options;
    const found = await engine.inspect(container);
    const usesGpus = (record: ContainerRecord | undefined) => record?.usesGpus === true;
    const looked = found === undefined ? undefined : recordOf(found, this.options.inventory());
    const matters = usesGpus(looked) || usesGpus(this.registry.get(container));
    const running = matters ? processes.running(pids([found], container)) : undefined;
    // A look that ended meanwhile may have seen something newer.
    if (await this.settled()) return this.tellNow(container);
    const before = this.registry.get(container);
    const known = before && seenByLedger(before);
    const record = found === undefined ? undefined : this.keep(found, running);
    const seen = record && seenByLedger(record);
    if (seen?.running) return this.emit({ kind: "started", container, seen });
    if (known !== undefined && before !== undefined && running?.has(container)) {
      // dockerd has written it off, and a process of it still has the devices.
      this.registry.put(forgotten(before));
      return this.linger(container);
    }
    if (record === undefined) this.registry.delete(container);
    if (seen !== undefined) this.emit({ kind: "stopped", container });
    // Removed, or one of others that ended: the ledger keeps nothing for it.
    else if (known !== undefined) this.emit({ kind: "gone", container });
  }

  private linger(container: string): void {
    if (this.lingering.has(container)) return;
    this.lingering.add(container);
    const timer = setTimeout(() => {
      this.lingering.delete(container);
      if (this.following.over) return;
      this.tellSoon(container);
    }, LINGER_MS);
    timer.unref();
  }

  private emit(event: ContainerEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private missed(container: string, error: unknown): void {
    this.cannotLook(container, error);
    if (this.registry.get(container)?.usesGpus !== false) this.emit({ kind: "unsure" });
  }

  private cannotLook(container: string, error: unknown): void {
    const about = { container: short(container), error: forLog(error) };
    this.options.log.warn(about, "a container could not be looked at");
  }

  private react({ type, action, id, attributes }: EngineEvent): void {
    if (MAKES_VOID.has(`${type} ${action}`)) this.options.engine.forget();
    if (type !== "container") return;
    // `health_status: healthy`
    if (!TELLING.has(action.split(":", 1)[0] ?? "")) return;
    if (!this.isFirst(action, attributes[LABEL.creation] ?? "")) this.tellSoon(id);
  }

  /** Whether it is the `create` or the first `start` of a creation that whoever makes it looks at. */
  private isFirst(action: string, creation: string): boolean {
    const first = this.awaited.get(creation);
    if (first === undefined || first.started || (action !== "create" && action !== "start")) return false;
    first.started = action === "start";
    if (first.started && first.over) this.awaited.delete(creation);
    return true;
  }

  /** For whoever does not wait for it. */
  private tellSoon(container: string): void {
    this.tell(container).catch((error: unknown) => this.missed(container, error));
  }

  /** Looks at each container that dockerd's list does not show as the registry has it: its event was missed. */
  private async compareNow(signal?: AbortSignal): Promise<void> {
    const listed = await this.options.engine.list(signal);
    const here = new Set(listed.map(({ Id }) => Id));
    for (const one of listed) {
      const record = this.registry.get(one.Id);
      if (record === undefined || !isAsListed(record, one)) this.tellSoon(one.Id);
    }
    for (const { id } of this.registry.list()) if (!here.has(id)) this.tellSoon(id);
  }

  private warnOnce(container: string, name: string, message: string): void {
    const key = `${container} ${message}`;
    if (this.warned.has(key)) return;
    if (this.warned.size > 1000) this.warned.clear();
    this.warned.add(key);
    this.options.log.warn({ container: short(container), name }, message);
  }
}

/** Each with the process that dockerd names; `others` with none. */
function pids(containers: readonly (Inspect | undefined)[], ...others: string[]): Map<string, number> {
  const result = new Map(others.map((id) => [id, 0]));
  for (const one of containers) if (one !== undefined) result.set(one.Id, one.State.Pid ?? 0);
  return result;
}
