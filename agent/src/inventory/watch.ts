import type { Gpu, Inventory } from "../../../core/gpu";
import type { KernelLog } from "./kernel-log";
import { type GpuReading, InventoryError, type Reading } from "./types";
import { emptyMemory, type Remembered, type WatchMemory } from "./watch-memory";
import { fatalReason, parseXid } from "./xid";

export { fileMemory, type WatchMemory } from "./watch-memory";

export interface WatchState {
  /** The last one that could be believed; GPUs out of use are marked, also those that are not there any more. */
  inventory: Inventory;
  /** Of the last good reading, for the GPUs that were there. */
  readings: readonly GpuReading[];
  /** When that was, in milliseconds since the epoch. */
  readAt?: number;
  /** Set: the inventory cannot be trusted now. Nothing new is granted; what runs goes on. */
  closed?: string;
  /** What the operator should know, and what stops nothing. */
  warnings: readonly string[];
}

export interface InventoryChange {
  state: WatchState;
  /** GPUs that are out of use since this change: their holders are to be told. */
  quarantined: { uuid: string; reason: string }[];
  /** GPUs that the operator put back. */
  restored: string[];
  /** MIG instances that are no longer there, of GPUs that are. */
  vanished: string[];
}

/** Time, for tests to turn by hand. */
export interface WatchClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once; the answer cancels it. */
  after(ms: number, callback: () => void): () => void;
}

export interface InventoryWatchOptions {
  /** Asks the driver; `NvidiaSmi.read`. Rejects with an `InventoryError`. */
  read(known: readonly { uuid: string; index: number; pci: string }[]): Promise<Reading>;
  /** Called after each change of the inventory, or of whether it can be trusted; not for new figures. */
  onChange(change: InventoryChange): void;
  /** What `onChange` threw. */
  onError(error: unknown): void;
  kernelLog?: KernelLog;
  memory?: WatchMemory;
  /** Default 15,000 ms. */
  intervalMs?: number;
  /** After a change or a failure, for a minute. Default 2,000 ms. */
  quickMs?: number;
  /** How long all GPUs may be away together, as while the driver is replaced, before each is out of use. Default 60,000 ms. */
  graceMs?: number;
  clock?: WatchClock;
}

const realClock: WatchClock = {
  now: () => Date.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
const QUICK_FOR_MS = 60_000;

/**
 * Follows the node's GPUs. A GPU that disappears, that the driver calls unusable, or that had a fatal Xid is put out of
 * use until the operator puts it back: a reset that nobody looked at proves nothing. When the driver itself does not
 * answer, the last inventory stays and `closed` says why; that ends by itself with the next good reading.
 */
export class InventoryWatch {
  readonly #options: InventoryWatchOptions;
  readonly #clock: WatchClock;
  #known: Remembered;
  #readings: readonly GpuReading[] = [];
  #readAt: number | undefined;
  #closed: string | undefined = "the GPUs have not been read yet";
  #warnings: readonly string[] = [];
  /** Stays for as long as the process: the operator has to look at the file. */
  readonly #loadProblem: string | undefined;
  /** What is remembered could not be written: tried again at each reading. */
  #unsaved: string | undefined;
  /** Of the last good reading, by UUID: why the driver itself cannot use it. */
  #faults = new Map<string, string>();
  #present = new Set<string>();
  #emptySince: number | undefined;
  #quickUntil = 0;
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #stopped = true;
  #emitted = "";
  /** Since the last change that was told. */
  #pending: { quarantined: Map<string, string>; restored: Set<string> } = {
    quarantined: new Map(),
    restored: new Set(),
  };
  #instances = new Map<string, string[]>();

  constructor(options: InventoryWatchOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    const loaded = options.memory?.load();
    this.#known = loaded?.remembered ?? emptyMemory();
    this.#loadProblem = loaded?.problem;
    this.#instances = this.#instancesByGpu();
  }

  get state(): WatchState {
    const { source, driver, gpus, quarantine } = this.#known;
    return {
      inventory: {
        source,
        ...(driver !== undefined && { driver }),
        gpus: gpus.map(({ gpu }) => {
          const out = quarantine[gpu.uuid];
          return { ...gpu, ...(out && { quarantined: out.reason }) };
        }),
      },
      readings: this.#readings,
      ...(this.#readAt !== undefined && { readAt: this.#readAt }),
      ...(this.#closed !== undefined && { closed: this.#closed }),
      warnings: [this.#loadProblem, this.#unsaved, ...this.#warnings].filter((text) => text !== undefined),
    };
  }

  /** Reads for the first time, then goes on by itself. Ends after the first reading, also when that failed. */
  async start(): Promise<WatchState> {
    this.#stopped = false;
    await this.refresh();
    return this.state;
  }

  /** No more readings and no more changes told. One that is under way ends unheard. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Reads now. Calls that overlap share one reading. */
  refresh(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
      this.#schedule();
    });
    return this.#running;
  }

  /** Puts a GPU out of use by hand. False: there is no such GPU. */
  quarantine(uuid: string, reason: string): boolean {
    if (!this.#known.gpus.some(({ gpu }) => gpu.uuid === uuid)) return false;
    this.#putOut(uuid, reason);
    this.#tell();
    return true;
  }

  /**
   * The operator puts a GPU back. One that is not there any more is forgotten. Refused, with the reason, while the last
   * reading still shows the fault, and for a GPU that is not out of use.
   */
  unquarantine(uuid: string): { ok: true } | { ok: false; reason: string } {
    if (!this.#known.quarantine[uuid]) return { ok: false, reason: `${uuid} is not out of use` };
    const fault = this.#faults.get(uuid);
    if (fault !== undefined)
      return { ok: false, reason: `${uuid} still has the fault: ${fault}. Reset or replace it first` };
    if (this.#closed !== undefined) return { ok: false, reason: `its state is not known: ${this.#closed}` };
    delete this.#known.quarantine[uuid];
    this.#known.cleared[uuid] = this.#clock.now();
    if (!this.#present.has(uuid)) this.#forget([uuid]);
    this.#pending.quarantined.delete(uuid);
    this.#pending.restored.add(uuid);
    this.#tell();
    return { ok: true };
  }

  /**
   * Forgets what the configuration has no more, out of use or not: that is not broken, it is gone on purpose.
   * @param declared UUIDs of all GPUs that the stack declares; undefined: it declares none, and the driver tells, so
   * that every GPU goes that was declared before.
   */
  settle(declared: readonly string[] | undefined): void {
    const source = declared ? "declared" : "nvidia-smi";
    if (declared === undefined && this.#known.source !== "declared") return;
    const before = this.#known;
    this.#forget(before.gpus.map(({ gpu }) => gpu.uuid).filter((uuid) => !declared?.includes(uuid)));
    if (before.source !== source && before.source !== "none") {
      // Another driver, and another kernel log with places of its own.
      const { driver: _, cursor: __, ...rest } = this.#known;
      this.#known = { ...rest, source: "none" };
    }
    this.#tell();
  }

  async #round(): Promise<void> {
    const known = this.#known.gpus.map(({ gpu, pci }) => ({ uuid: gpu.uuid, index: gpu.index, pci }));
    const warnings: string[] = [];
    try {
      const reading = await this.#options.read(known);
      if (this.#stopped) return;
      this.#take(reading, warnings);
    } catch (error) {
      if (this.#stopped) return;
      this.#fail(error);
    }
    await this.#readKernelLog(warnings);
    if (this.#stopped) return;
    this.#warnings = warnings;
    if (this.#unsaved !== undefined) this.#save();
    this.#tell();
  }

  #fail(error: unknown): void {
    if (!(error instanceof InventoryError)) {
      this.#closed = `the GPUs cannot be read: ${(error as Error).message}`;
      this.#options.onError(error);
      return;
    }
    // A machine without GPUs has no driver, and nothing to be unsure of.
    if (error.code === "missing" && this.#known.gpus.length === 0) {
      this.#known.source = "none";
      this.#closed = undefined;
      this.#readAt = this.#clock.now();
      return;
    }
    this.#closed = `nvidia-smi cannot be believed (${error.code}): ${error.message}`;
  }

  #take({ inventory, readings, lost, warnings: unread }: Reading, warnings: string[]): void {
    const now = this.#clock.now();
    warnings.push(...unread);
    // A node that got a driver, or lost it, has nothing in common with what was remembered.
    if (this.#known.source !== inventory.source && this.#known.source !== "none")
      this.#forget(this.#known.gpus.map(({ gpu }) => gpu.uuid));
    const before = this.#known;
    const addresses = new Map(before.gpus.map(({ gpu, pci }) => [pci, gpu.uuid]));
    const seen = new Set(inventory.gpus.map(({ uuid }) => uuid));
    this.#readings = readings;
    this.#readAt = now;
    this.#faults = new Map(
      readings.flatMap(({ uuid, fault }) => (fault === undefined ? [] : [[uuid, fault]])),
    );
    for (const { uuid, pci, reason } of lost) {
      const named = uuid ?? (pci === undefined ? undefined : addresses.get(pci));
      const which = pci === undefined ? (uuid ?? "that the driver does not name") : `at ${pci}`;
      if (named !== undefined && before.gpus.some(({ gpu }) => gpu.uuid === named))
        this.#faults.set(named, `the driver cannot reach it: ${reason}`);
      else warnings.push(`the GPU ${which} cannot be reached, and was never read: ${reason}`);
    }
    const missing = before.gpus.filter(({ gpu }) => !seen.has(gpu.uuid) && !this.#faults.has(gpu.uuid));
    const allAway = seen.size === 0 && lost.length === 0 && missing.length > 0;
    this.#emptySince = allAway ? (this.#emptySince ?? now) : undefined;
    const waiting =
      this.#emptySince !== undefined && now - this.#emptySince < (this.#options.graceMs ?? 60_000);
    // All of them away at once is the driver being replaced, more often than every GPU breaking.
    this.#closed = waiting ? "nvidia-smi shows no GPU at all, and there were some" : undefined;
    if (waiting) return;
    this.#present = seen;
    const pci = new Map(readings.map((reading) => [reading.uuid, reading.pci]));
    const sizes = new Map(
      before.gpus.flatMap(({ gpu }) => [gpu, ...gpu.instances].map((unit) => [unit.uuid, unit.memoryMiB])),
    );
    const current = inventory.gpus.map((gpu) => ({ gpu: sized(gpu, sizes), pci: pci.get(gpu.uuid) ?? "" }));
    const kept = before.gpus.filter(({ gpu }) => !seen.has(gpu.uuid));
    this.#known = { ...before, source: inventory.source, gpus: [...current, ...kept].sort(byIndex) };
    if (inventory.driver !== undefined) this.#known.driver = inventory.driver;
    for (const { gpu } of missing) this.#putOut(gpu.uuid, "it is gone: nvidia-smi shows it no more");
    for (const [uuid, fault] of this.#faults) this.#putOut(uuid, fault);
  }

  async #readKernelLog(warnings: string[]): Promise<void> {
    const log = this.#options.kernelLog;
    if (!log) return;
    try {
      const { lines, cursor } = await log.read(this.#known.cursor);
      for (const { text, at } of lines) {
        const event = parseXid(text);
        const reason = event && fatalReason(event);
        if (!event || !reason) continue;
        const uuid = this.#known.gpus.find(({ pci }) => pci === event.pci)?.gpu.uuid;
        if (uuid === undefined) {
          warnings.push(`${reason}, on a GPU at ${event.pci} that is not known`);
          continue;
        }
        const cleared = this.#known.cleared[uuid];
        if (cleared !== undefined && at !== undefined && at <= cleared) continue;
        this.#putOut(uuid, reason);
      }
      if (cursor !== undefined) this.#known.cursor = cursor;
    } catch (error) {
      // The driver's own `gpu_recovery_action` still tells; less, and later.
      warnings.push(
        `the kernel log cannot be read, so a fatal Xid may be missed: ${(error as Error).message}`,
      );
    }
  }

  /** The first reason stays: what follows is most often its consequence. */
  #putOut(uuid: string, reason: string): void {
    if (this.#known.quarantine[uuid]) return;
    this.#known.quarantine[uuid] = { reason, since: this.#clock.now() };
    this.#pending.restored.delete(uuid);
    this.#pending.quarantined.set(uuid, reason);
  }

  #forget(uuids: readonly string[]): void {
    this.#known.gpus = this.#known.gpus.filter(({ gpu }) => !uuids.includes(gpu.uuid));
    for (const uuid of uuids) {
      delete this.#known.quarantine[uuid];
      delete this.#known.cleared[uuid];
      this.#pending.quarantined.delete(uuid);
    }
  }

  #instancesByGpu(): Map<string, string[]> {
    return new Map(this.#known.gpus.map(({ gpu }) => [gpu.uuid, gpu.instances.map(({ uuid }) => uuid)]));
  }

  /** Remembers and tells, if anything differs from what was told last. */
  #tell(): void {
    const { state } = this;
    const { inventory, closed } = state;
    const key = JSON.stringify([inventory, closed]);
    if (key === this.#emitted) return;
    const instances = this.#instancesByGpu();
    const vanished = [...this.#instances].flatMap(([gpu, uuids]) => {
      const left = instances.get(gpu);
      return left ? uuids.filter((uuid) => !left.includes(uuid)) : [];
    });
    const { quarantined, restored } = this.#pending;
    this.#pending = { quarantined: new Map(), restored: new Set() };
    this.#instances = instances;
    const first = this.#emitted === "";
    this.#emitted = key;
    if (!first) this.#quickUntil = this.#clock.now() + QUICK_FOR_MS;
    this.#save();
    try {
      this.#options.onChange({
        state: this.state,
        quarantined: [...quarantined].map(([uuid, reason]) => ({ uuid, reason })),
        restored: [...restored],
        vanished,
      });
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #save(): void {
    try {
      this.#options.memory?.save(this.#known);
      this.#unsaved = undefined;
    } catch (error) {
      this.#unsaved = `quarantines cannot be written down, and end with a restart: ${(error as Error).message}`;
    }
  }

  #schedule(): void {
    this.#cancel?.();
    if (this.#stopped) return;
    const quick = this.#closed !== undefined || this.#clock.now() < this.#quickUntil;
    const wait = quick ? (this.#options.quickMs ?? 2000) : (this.#options.intervalMs ?? 15_000);
    this.#cancel = this.#clock.after(wait, () => {
      this.refresh().catch((error: unknown) => this.#options.onError(error));
    });
  }
}

/** A size that the driver does not say this time is the one from before: shares of it are granted. */
function sized(gpu: Gpu, before: ReadonlyMap<string, number>): Gpu {
  const sizeOf = (unit: { uuid: string; memoryMiB: number }) => unit.memoryMiB || before.get(unit.uuid) || 0;
  const instances = gpu.instances.map((one) => ({ ...one, memoryMiB: sizeOf(one) }));
  return { ...gpu, memoryMiB: sizeOf(gpu), instances };
}

const byIndex = (a: { gpu: Gpu }, b: { gpu: Gpu }) => a.gpu.index - b.gpu.index;
