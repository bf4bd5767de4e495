import { readdirSync } from "node:fs";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { GrantState } from "../../core/gpu";

/** Numbers that are read when somebody asks for them. */
export interface MetricSources {
  grants(): Iterable<{ state: GrantState }>;
  queueLength(): number;
  gpus(): { total: number; quarantined: number };
  /** Seconds since the GPUs were last read whole; undefined: never. */
  inventoryAge(): number | undefined;
  /** 1 or 0. */
  open(): boolean;
  degraded(): boolean;
  eventBacklog(): number;
  /** What is kept for tenants' next containers, by what it is: how many of it, and bytes on the disk. @default nothing */
  kept?(): Readonly<Record<string, { count: number; bytes: number }>>;
}

export interface Metrics {
  commit(seconds: number): void;
  /** The supervised loop went round. */
  heartbeat(): void;
  refused(code: string): void;
  authFailed(): void;
  text(): Promise<string>;
  readonly contentType: string;
}

/** The Prometheus metrics of one berthd. */
export function makeMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const value = read();
        if (value === undefined) this.reset();
        else this.set(value);
      },
    });
  new Gauge({
    name: "berth_grants",
    help: "Live grants by state.",
    labelNames: ["state"],
    registers,
    collect() {
      const counts = { reserved: 0, bound: 0, held: 0 };
      for (const { state } of sources.grants()) if (state !== "released") counts[state]++;
      for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
    },
  });
  // prom-client's own default metrics wake the process 100 times a second to measure its delay: 0.7 % of a core at rest.
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const started = Date.now() / 1000 - process.uptime();
  gauge("process_start_time_seconds", "Since the epoch.", () => started);
  gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
  gauge("process_open_fds", "Open file descriptors.", () => readdirSync("/proc/self/fd").length);
  gauge("nodejs_heap_size_used_bytes", "Of V8's heap.", () => process.memoryUsage().heapUsed);
  gauge("berth_queue_length", "Requests that wait for a GPU.", sources.queueLength);
  gauge("berth_gpus", "GPUs of the node.", () => sources.gpus().total);
  gauge("berth_gpus_quarantined", "GPUs on which nothing new is granted.", () => sources.gpus().quarantined);
  gauge("berth_inventory_age_seconds", "Since the GPUs were last read whole.", sources.inventoryAge);
  gauge("berth_ledger_open", "1: new grants are made.", () => Number(sources.open()));
  gauge("berth_degraded", "1: /health has reasons.", () => Number(sources.degraded()));
  gauge("berth_event_backlog", "Events not yet in events.jsonl.", sources.eventBacklog);
  const kept = (name: string, help: string, field: "count" | "bytes") =>
    new Gauge({
      name,
      help,
      labelNames: ["what"],
      registers,
      collect() {
        this.reset();
        for (const [what, one] of Object.entries(sources.kept?.() ?? {})) this.set({ what }, one[field]);
      },
    });
  kept("berth_kept", "Repositories, and caches of packages, that are kept for tenants.", "count");
  kept("berth_kept_bytes", "What those take on the disk.", "bytes");
  const commits = new Histogram({
    name: "berth_commit_seconds",
    help: "Time of one transaction, of one turn of the event loop.",
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    registers,
  });
  const beat = new Gauge({
    name: "berth_heartbeat_timestamp_seconds",
    help: "When the supervised loop last went round.",
    registers,
  });
  const refusals = new Counter({
    name: "berth_refusals_total",
    help: "Requests for GPUs that were refused, by reason.",
    labelNames: ["code"],
    registers,
  });
  const failures = new Counter({
    name: "berth_auth_failures_total",
    help: "Requests with no or a wrong bearer token.",
    registers,
  });
  return {
    commit: (seconds) => commits.observe(seconds),
    heartbeat: () => beat.setToCurrentTime(),
    refused: (code) => refusals.inc({ code }),
    authFailed: () => failures.inc(),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
