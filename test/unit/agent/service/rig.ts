/** A ledger service over a real database and a real event log, with stand-ins for GPUs and containers. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { EventLog, type EventLogOptions, healEventLog } from "../../../../agent/src/events";
import type {
  ContainerEvent,
  ContainersPort,
  InventoryPort,
  InventoryReading,
  SeenContainer,
} from "../../../../agent/src/service";
import { Ledger } from "../../../../agent/src/service/ledger";
import type { LedgerOptions } from "../../../../agent/src/service/options";
import { Store } from "../../../../agent/src/store";
import type { EffectiveLimits, Gpu, Inventory } from "../../../../core/gpu";
import { until } from "../../../lib/until";

/** GPUs with MIG instances, seven each. */
export function inventoryOf(gpus: number, instances = 7): Inventory {
  return {
    source: "declared",
    gpus: Array.from(
      { length: gpus },
      (_, index): Gpu => ({
        uuid: `GPU-${index}`,
        index,
        model: "NVIDIA H100 80GB HBM3",
        memoryMiB: 81_559,
        mig: true,
        instances: Array.from({ length: instances }, (__, n) => ({
          uuid: `MIG-${index}-${n}`,
          profile: "1g.10gb",
          memoryMiB: 9984,
          gi: 7 + n,
          ci: 0,
        })),
        nvlink: [],
      }),
    ),
  };
}

export class Gpus implements InventoryPort {
  private readonly listeners = new Set<(reading: InventoryReading) => void>();
  private looked = false;
  /** Known from before the restart. */
  before: Inventory = { source: "none", gpus: [] };
  /** The first look ends with it. */
  slow: Promise<void> | undefined;
  constructor(public reading: InventoryReading) {}
  remembered = () => this.before;
  current = () => (this.looked ? this.reading : undefined);
  refresh = async () => {
    await this.slow;
    this.looked = true;
    return this.reading;
  };
  onChange = (listener: (reading: InventoryReading) => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  close = async () => {};
  change(reading: Partial<InventoryReading>): void {
    this.reading = { ...this.reading, ...reading };
    for (const listener of this.listeners) listener(this.reading);
  }
}

export class FakeContainers implements ContainersPort {
  seen: SeenContainer[] = [];
  /** Set: Docker does not answer. */
  down: string | undefined;
  /** Called in the middle of each look. */
  during: (() => void) | undefined;
  readonly stopped: string[] = [];
  /** Containers that do not end when they are stopped. */
  readonly stubborn = new Set<string>();
  private readonly listeners = new Set<(event: ContainerEvent) => void>();
  listLive = async () => {
    const seen = structuredClone(this.seen);
    this.during?.();
    await new Promise((resolve) => setImmediate(resolve));
    if (this.down !== undefined) throw new Error(this.down);
    return seen;
  };
  onEvent = (listener: (event: ContainerEvent) => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly started: string[] = [];
  /** Set: no container can be started. */
  broken: string | undefined;
  start = async (container: string) => {
    this.started.push(container);
    if (this.broken !== undefined) throw new Error(this.broken);
    const seen = this.seen.find((one) => one.container === container);
    if (!seen) throw new Error(`no such container: ${container}`);
    const { heldBack: _, ...rest } = seen;
    this.run({ ...rest, running: true });
  };
  stop = async (container: string) => {
    if (this.stubborn.has(container)) return;
    this.stopped.push(container);
    this.seen = this.seen.map((one) => (one.container === container ? { ...one, running: false } : one));
  };
  alive = async (container: string) => this.seen.some((one) => one.container === container && one.running);
  close = async () => {};
  emit(event: ContainerEvent): void {
    for (const listener of this.listeners) listener(event);
  }
  run(seen: SeenContainer): void {
    this.seen = [...this.seen.filter(({ container }) => container !== seen.container), seen];
    this.emit({ kind: "started", container: seen.container, seen });
  }
  remove(container: string): void {
    this.seen = this.seen.filter((one) => one.container !== container);
    this.emit({ kind: "gone", container });
  }
}

export class Limits {
  problem: string | undefined;
  closed: string | undefined;
  max: number | null = null;
  hold: number | null = 0;
  /** `max_containers_per_user`, by user. */
  readonly mostContainers = new Map<string, number>();
  readonly users = new Map<string, { group: string; priority: number }>([
    ["alice", { group: "student", priority: 0 }],
    ["bob", { group: "student", priority: 0 }],
    ["carol", { group: "staff", priority: 0 }],
  ]);
  private readonly listeners = new Set<() => void>();
  of = (user: string): EffectiveLimits | undefined => {
    const found = this.users.get(user);
    if (!found) return undefined;
    const all = <T>(value: T) => ({ value, rule: `groups.${found.group}` });
    return {
      user,
      group: found.group,
      max_mig_instances: all(this.max),
      max_gpus_per_container: all(null),
      allow_full_gpu: all(true),
      max_cpus: all(null),
      memory: all(null),
      shm_size: all(null),
      max_containers_per_user: all(this.mostContainers.get(user) ?? null),
      idle_timeout: all(null),
      gpu_hold_after_stop: all(this.hold),
      container_hold_after_stop: all(null),
      max_runtime: all(null),
      priority: all(found.priority),
    };
  };
  onChange = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  changed(): void {
    for (const listener of this.listeners) listener();
  }
}

export interface Rig {
  folder: string;
  store: Store;
  log: EventLog;
  gpus: Gpus;
  containers: FakeContainers;
  limits: Limits;
  ledger: Ledger;
  fatal: Error[];
  /** Lines of events.jsonl, once all are written. */
  events(): Promise<Record<string, unknown>[]>;
  /** Ends as a crash does: nothing is said to anybody; the database keeps what was committed. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

export interface RigOptions {
  folder?: string;
  inventory?: Inventory;
  limits?: Limits;
  containers?: FakeContainers;
  /** Instead of those of `inventory`. */
  gpus?: Gpus;
  start?: boolean;
  eventLog?: EventLogOptions;
  options?: Partial<LedgerOptions>;
}

export const newFolder = () => mkdtempSync(join(tmpdir(), "berth-service-"));

export async function makeRig({
  folder = newFolder(),
  inventory = inventoryOf(1),
  limits = new Limits(),
  containers = new FakeContainers(),
  gpus = new Gpus({ inventory, readAt: Date.now() }),
  start = true,
  eventLog,
  options = {},
}: RigOptions = {}): Promise<Rig> {
  const eventFile = join(folder, "log", "events.jsonl");
  const end = healEventLog(eventFile);
  const store = Store.open({
    file: join(folder, "ledger.db"),
    now: Date.now(),
    floor: { ...end, event: end.seq },
  });
  const log = new EventLog(eventFile, end.seq, eventLog);
  const fatal: Error[] = [];
  const ledger = new Ledger({
    store,
    events: log,
    inventory: gpus,
    containers,
    limits,
    node: () => ({ strategy: "least-allocated", allocation: "exclusive", reserveSeconds: 600 }),
    log: pino({ level: "silent" }),
    onFatal: (error) => fatal.push(error),
    tickEvery: 20,
    ...options,
  });
  if (start) {
    await ledger.start();
    // A turn later: that the ledger opened is written down too.
    await ledger.release("none");
  }
  let open = true;
  return {
    folder,
    store,
    log,
    gpus,
    containers,
    limits,
    ledger,
    fatal,
    events: async () => {
      await until("all events are in the file", 30_000, () => log.backlog === 0);
      return readFileSync(eventFile, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    crash: async () => {
      open = false;
      await ledger.stop();
      await log.close();
      store.close();
    },
    close: async () => {
      if (open) {
        open = false;
        await ledger.stop();
        await log.close();
        store.close();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
