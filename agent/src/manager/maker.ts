/**
 * Makes the manager's containers, and takes them away. A row is written before anything is made, in the turn that finds room and
 * ports for it; from then on whatever a berthd that was killed has left is found by that row.
 */
import { randomBytes } from "node:crypto";
import { SYSTEM } from "../../../core/containers";
import { type EffectiveLimits, type Refusal, type Result, refuse } from "../../../core/gpu";
import { admit, chooseHostPorts, type NodeRoom, PACKAGES_PATH } from "../../../core/manager";
import type { PortRange } from "../../../core/net";
import type { ManagerConfig } from "../config";
import type { Containers, CreateRequest, Creator, Log, Making } from "../containers";
import { DockerError, wordsFor } from "../docker";
import { PlacesOfEach } from "../places";
import type { Book, ManagedRow, WriteTurn } from "./book";
import { reached } from "./faults";
import type { Images } from "./images";
import { answer, type Key } from "./key";
import type { NodeMeasure } from "./measure";
import type { PackageCaches, Setups } from "./ports";
import { callerWent, ending, hasLeft, noContainer, noManager, notRemoved } from "./refusals";
import type { Wanted } from "./request";
import { mayHave } from "./share";
import type { Volumes } from "./volumes";

export interface MakerOptions {
  book: Book;
  write<T>(decide: (turn: WriteTurn) => Result<T>): Promise<Result<T>>;
  creator: Pick<Creator, "create" | "remove">;
  containers: Pick<Containers, "get" | "list">;
  images: Images;
  measure: Pick<NodeMeasure, "measure">;
  volumes: Volumes;
  /** Undefined: the node has no manager any more. */
  config(): ManagerConfig | undefined;
  /** Ports of the node that containers may have. */
  ports(): PortRange;
  /** They need the manager themselves, so they come later. */
  setups(): Setups | undefined;
  caches?: PackageCaches;
  log: Log;
  mostOfTenant?: number;
}

/** Containers that Docker makes at a time for one tenant. */
const AT_ONCE = 4;

/** Whose a container is to be. */
export interface Whose {
  /** Left out: it is for the pool. */
  owner?: string;
  /** Of the template, of one for the pool. */
  hash?: string;
  /** As events name who asks. */
  actor: string;
  /** Under which it is asked for. */
  key?: Key;
  /** Whether whoever asked is a tenant still. */
  may?(): boolean;
}

interface UnderWay {
  abort: AbortController;
  done: Promise<unknown>;
}

export class Maker {
  private readonly underWay = new Map<string, UnderWay>();
  private readonly leaving = new Map<string, Promise<Result<{ id: string }>>>();
  private readonly listeners = new Set<(id: string) => void>();
  private readonly places = new PlacesOfEach(AT_ONCE, Number.POSITIVE_INFINITY);
  private ended = false;

  constructor(private readonly options: MakerOptions) {}

  onGone(listener: (id: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Whether this berthd is making it, or taking it away. */
  isAt(id: string): boolean {
    return this.underWay.has(id) || this.leaving.has(id);
  }

  /** What the node has, and who is there. */
  room(): NodeRoom {
    const { book, containers, measure, config } = this.options;
    const { memoryMiB, cpus, pids, diskFreeMiB, at } = measure.measure();
    const ours = book.all();
    const rows = new Set(ours.map(({ id }) => id));
    const others = containers.list().filter(({ creation = "", runs }) => runs && !rows.has(creation));
    return {
      ...{ memoryMiB, cpus, pids, diskFreeMiB },
      reserveMiB: config()?.reserveMiB,
      containers: [
        // What an older one wrote is gone from the free disk already.
        ...ours.map((row) => ({ ...needOf(row), diskMiB: row.createdAt > at ? row.diskMiB : 0 })),
        ...others.map((one) => ({
          ...{ memoryMiB: (one.memory ?? 0) / 2 ** 20, cpus: one.cpus ?? 0, pids: 0, diskMiB: 0 },
        })),
      ],
    };
  }

  /** @param signal whoever asked has gone: nothing is left */
  async make(wanted: Wanted, whose: Whose, signal?: AbortSignal): Promise<Result<ManagedRow>> {
    if (this.ended) return refuse(ending);
    const image = await this.resolve(wanted, whose);
    if (!image.ok) return image;
    if (signal?.aborted) return refuse(callerWent);
    const id = this.newId();
    reached("manager:before-note");
    const noted = await this.options.write((turn) => this.note(turn, id, wanted, whose));
    if (!noted.ok) return noted;
    reached("manager:after-note");
    const abort = new AbortController();
    const stop = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
    const create = () => this.create(noted.value, image.value, { wanted, whose, signal: stop });
    const done = this.places.take(whose.owner ?? "").then((giveBack) => create().finally(giveBack));
    this.underWay.set(id, { abort, done });
    try {
      return await done;
    } finally {
      this.underWay.delete(id);
    }
  }

  /** What takes its time before anything is noted: the image, and room for a volume. */
  private async resolve({ image, volumeName }: Wanted, { owner }: Whose): Promise<Result<string>> {
    const { volumes, log } = this.options;
    try {
      if (owner !== undefined && volumeName !== undefined)
        await volumes.makeRoom(owner, volumes.nameOf(owner, volumeName));
      return await this.options.images.resolve(image, owner);
    } catch (error) {
      if (!(error instanceof DockerError)) throw error;
      log.warn({ image, reason: error.message }, "what a container needs could not be had of Docker");
      return refuse(wordsFor(error));
    }
  }

  /** In one turn: room, ports, the row, and what the key was answered with. */
  private note(turn: WriteTurn, id: string, wanted: Wanted, whose: Whose): Result<ManagedRow> {
    const { book, config, volumes, mostOfTenant: most } = this.options;
    const { owner, hash, key } = whose;
    if (config() === undefined) return refuse(noManager);
    if (owner !== undefined) {
      if (whose.may?.() === false) return refuse(hasLeft(owner));
      const may = mayHave(book, owner, wanted.env, most);
      if (!may.ok) return may;
    }
    const room = admit(this.room(), wanted);
    if (!room.ok) return room;
    const hosts = this.hostPorts(wanted.ports.length, turn.now);
    if (!hosts.ok) return hosts;
    const { memoryMiB, cpus, pids, diskMiB, env, template, volumeName } = wanted;
    const volume =
      volumeName === undefined || owner === undefined ? undefined : volumes.nameOf(owner, volumeName);
    if (volume !== undefined) {
      const used = volumes.use(turn, owner ?? "", volume);
      if (!used.ok) return used;
    }
    const row: ManagedRow = {
      id,
      ...(owner !== undefined && { owner }),
      name: owner === undefined ? "" : (wanted.name ?? id),
      state: "making",
      image: wanted.image,
      ports: wanted.ports.map((port, index) => ({ ...port, host: hosts.value[index] ?? 0 })),
      ...{ memoryMiB, cpus, pids, diskMiB },
      gpus: wanted.gpus !== undefined,
      ...(env !== undefined && { env }),
      ...(volume !== undefined && { volume }),
      ...(template !== undefined && { template: template.name }),
      ...(hash !== undefined && { hash }),
      pooled: owner === undefined,
      ...(wanted.pool && { pool: true }),
      ...(key !== undefined && { key: { ...key } }),
      createdAt: turn.now,
    };
    book.put(turn, row);
    if (key !== undefined) answer(turn, key, id);
    return { ok: true, value: row };
  }

  private hostPorts(count: number, now: number): Result<number[]> {
    const { book, containers, ports } = this.options;
    // Users publish theirs in the same range, and a container that was given up may have one still.
    const others = containers.list().flatMap((record) => record.ports.map(({ host }) => host));
    const used = new Set([...book.ports(), ...others]);
    return chooseHostPorts({ range: ports(), used, quarantined: book.resting(), count, now });
  }

  private async create(
    row: ManagedRow,
    image: string,
    { wanted, whose, signal }: { wanted: Wanted; whose: Whose; signal: AbortSignal },
  ): Promise<Result<ManagedRow>> {
    const { creator, log } = this.options;
    const { owner = SYSTEM, id } = row;
    try {
      const made = await creator.create(
        this.requestOf(row, image, wanted),
        { actor: whose.actor },
        signal,
        this.makingOf(row),
      );
      if (!made.ok) return this.failed(row, made.refusal);
      reached("manager:before-ready");
      const state = row.owner === undefined ? ("warming" as const) : ("ready" as const);
      const noted = await this.change(id, (now, turn) => {
        turn.log("managed-made", { managed: id, owner, container: made.value.id, template: row.template });
        return { ...now, state, container: made.value.id, ranAt: turn.now };
      });
      reached("manager:after-ready");
      return noted;
    } catch (error) {
      const { message } = error as Error;
      log.warn({ managed: id, error: message }, "a container could not be made");
      await this.forget(id, message);
      throw error;
    }
  }

  private requestOf({ owner = SYSTEM, ports }: ManagedRow, image: string, wanted: Wanted): CreateRequest {
    const address = this.options.config()?.publish.address ?? "127.0.0.1";
    const { memoryMiB, cpus, pids, gpus } = wanted;
    return {
      user: owner,
      image,
      // All else is run in it; Docker's own init reaps what that leaves.
      entrypoint: ["sleep"],
      command: ["infinity"],
      ...{ cpus, pids, memory: `${memoryMiB}MiB` },
      ...(gpus !== undefined && { gpus: gpus as CreateRequest["gpus"] }),
      ports: ports.map((port) => ({ ...port, address })),
      // `sleep` ends at once.
      stop_seconds: 2,
    };
  }

  private makingOf({ id, owner = SYSTEM, volume }: ManagedRow): Making {
    const { caches, config } = this.options;
    // Both are mounted at one place.
    const cache = volume === undefined ? caches?.mountFor(id) : undefined;
    return {
      creation: id,
      // As one of the pool, which has no owner's name when it is claimed either.
      namedAfter: SYSTEM,
      limits: noLimits(owner),
      addresses: [config()?.publish.address ?? "127.0.0.1"],
      mounts: [
        ...(cache === undefined ? [] : [{ type: "bind" as const, ...cache }]),
        ...(volume === undefined ? [] : [{ type: "volume" as const, source: volume, target: PACKAGES_PATH }]),
      ],
    };
  }

  /** Nothing of it is there, or an operation of the creator's takes away what is. */
  private async failed(row: ManagedRow, refusal: Refusal): Promise<Result<never>> {
    await this.forget(row.id, refusal.message);
    return refuse(refusal);
  }

  /** Changes a row that is there, in a turn of its own. */
  async change(
    id: string,
    next: (row: ManagedRow, turn: WriteTurn) => ManagedRow,
  ): Promise<Result<ManagedRow>> {
    const { book, write } = this.options;
    return write((turn) => {
      const row = book.get(id);
      if (row === undefined) return refuse(noContainer(id));
      const value = next(row, turn);
      book.put(turn, value);
      return { ok: true, value };
    });
  }

  /** Its row is gone, and its ports rest. @param failed why it was never made: its key and its ports may be used again */
  async forget(id: string, failed?: string): Promise<Result<ManagedRow>> {
    reached("manager:before-forget");
    const gone = await this.change(id, (row, turn) => {
      const { owner, key, container, template } = row;
      if (failed !== undefined && key !== undefined) answer(turn, { ...key, fingerprint: "" }, id, 0);
      turn.log("managed-gone", { managed: id, owner, container, template, reason: failed });
      turn.onWritten(() => {
        for (const listener of this.listeners) listener(id);
      });
      // What is secret goes with it; the rest is kept for its ports.
      const { env: _, ...kept } = row;
      // Nobody has reached one that was never made: were its ports kept, whoever asks again and again would have all of them.
      const ports = failed === undefined ? row.ports : [];
      return { ...kept, ports, state: "gone", goneAt: turn.now };
    });
    reached("manager:after-forget");
    return gone;
  }

  /** Takes it away; whoever asks meanwhile waits for the same. What cannot be done now is done when Docker is looked at again. */
  dispose(id: string, may: (row: ManagedRow) => boolean = () => true): Promise<Result<{ id: string }>> {
    const row = this.options.book.get(id);
    if (row === undefined || !may(row)) return Promise.resolve(refuse(noContainer(id)));
    const under = this.leaving.get(id);
    if (under !== undefined) return under;
    const work = this.disposeNow(id, may).finally(() => this.leaving.delete(id));
    this.leaving.set(id, work);
    return work;
  }

  private async disposeNow(id: string, may: (row: ManagedRow) => boolean): Promise<Result<{ id: string }>> {
    const { book, setups, containers, creator, log } = this.options;
    const making = this.underWay.get(id);
    reached("manager:before-leave");
    const left = await this.options.write((turn) => {
      const row = book.get(id);
      // It may have been claimed in the turn before.
      if (row === undefined || !may(row)) return refuse(noContainer(id));
      book.put(turn, { ...row, state: making === undefined ? "leaving" : row.state });
      return { ok: true, value: row };
    });
    if (!left.ok) return left;
    reached("manager:after-leave");
    if (making !== undefined) {
      making.abort.abort();
      await making.done.catch(() => {}); // whoever made it hears of it
      if (book.get(id) === undefined) return { ok: true, value: { id } };
      const now = await this.change(id, (row) => ({ ...row, state: "leaving" }));
      if (!now.ok) return now;
    }
    await setups()?.end(id);
    const container =
      book.get(id)?.container ?? containers.list().find(({ creation }) => creation === id)?.id;
    if (container !== undefined) {
      const removed = await creator.remove(container, { actor: "manager" });
      if (!removed.ok && removed.refusal.code !== "not-found") {
        log.warn({ managed: id, reason: removed.refusal.message }, "a container could not be removed yet");
        return refuse(notRemoved(id, removed.refusal));
      }
    }
    const gone = await this.forget(id);
    return gone.ok ? { ok: true, value: { id } } : gone;
  }

  /** Gives up what is being made, and waits for it. */
  async close(): Promise<void> {
    this.ended = true;
    // The creator ends what it is at by itself; what it made is found by the next berthd.
    await Promise.allSettled([
      ...[...this.underWay.values()].map(({ done }) => done),
      ...this.leaving.values(),
    ]);
  }

  private newId(): string {
    for (;;) {
      const id = randomBytes(4).toString("hex");
      const taken = this.options.containers.list().some(({ creation }) => creation === id);
      if (!taken && this.options.book.get(id) === undefined) return id;
    }
  }
}

const needOf = ({ memoryMiB, cpus, pids }: ManagedRow) => ({ memoryMiB, cpus, pids });

/** The manager has looked for room itself; what a tenant may have of GPUs the ledger says. */
function noLimits(user: string): EffectiveLimits {
  const none = { value: null, rule: "manager" };
  return {
    ...{ user, group: "manager" },
    ...{
      max_mig_instances: none,
      max_gpus_per_container: none,
      max_cpus: none,
      memory: none,
      shm_size: none,
    },
    ...{ max_containers_per_user: none, idle_timeout: none, gpu_hold_after_stop: none },
    ...{ container_hold_after_stop: none, max_runtime: none },
    allow_full_gpu: { value: true, rule: "manager" },
    priority: { value: 0, rule: "manager" },
  };
}
