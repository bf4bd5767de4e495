/** What a container uses at a moment. */
import { found, short } from "./errors";
import type { Transport } from "./transport";

export interface Stats {
  /** When, in milliseconds since the epoch. */
  at: number;
  /** Nanoseconds of all CPUs since its start. Two looks give a rate. */
  cpuNanos: number;
  /** Without what the kernel would give back at once (files that it keeps in memory). */
  memoryBytes: number;
  /** Of the container, or of the node where it has none. */
  memoryLimitBytes: number;
  /** Processes and threads. */
  pids: number;
  /** Over all its networks, since its start. */
  receivedBytes: number;
  sentBytes: number;
  /** From and to disks, since its start. */
  readBytes: number;
  writtenBytes: number;
}

interface Answer {
  read?: string;
  cpu_stats?: { cpu_usage?: { total_usage?: number } };
  memory_stats?: { usage?: number; limit?: number; stats?: Record<string, number> };
  pids_stats?: { current?: number };
  networks?: Record<string, { rx_bytes?: number; tx_bytes?: number }>;
  blkio_stats?: { io_service_bytes_recursive?: { op?: string; value?: number }[] | null };
}

/** Undefined: there is no such container, or it does not run. */
export function readStats(
  transport: Transport,
  container: string,
  signal: AbortSignal | undefined,
): Promise<Stats | undefined> {
  return found(async () => {
    // One look: dockerd would else wait a second for another, to give a rate itself.
    const query = { stream: false, "one-shot": true };
    const path = `/containers/${encodeURIComponent(container)}/stats`;
    return statsOf(
      await transport.read<Answer>(`look at what container ${short(container)} uses`, path, query, signal),
    );
  });
}

/** Undefined: of a container that does not run dockerd gives an answer without figures. */
export function statsOf(answer: Answer): Stats | undefined {
  const { memory_stats: memory, networks, blkio_stats: disks } = answer;
  if (memory?.usage === undefined) return undefined;
  const ofNetworks = Object.values(networks ?? {});
  const ofDisks = disks?.io_service_bytes_recursive ?? [];
  const ofDisk = (wanted: string) =>
    sum(ofDisks.filter(({ op }) => op?.toLowerCase() === wanted).map(({ value }) => value));
  return {
    at: Date.parse(answer.read ?? ""),
    cpuNanos: answer.cpu_stats?.cpu_usage?.total_usage ?? 0,
    memoryBytes: memory.usage - givenBack(memory.usage, memory.stats ?? {}),
    memoryLimitBytes: memory.limit ?? 0,
    pids: answer.pids_stats?.current ?? 0,
    receivedBytes: sum(ofNetworks.map(({ rx_bytes }) => rx_bytes)),
    sentBytes: sum(ofNetworks.map(({ tx_bytes }) => tx_bytes)),
    readBytes: ofDisk("read"),
    writtenBytes: ofDisk("write"),
  };
}

/** As `docker stats` reckons: cgroup v1 has the figure of the container's children in `total_…`, v2 has it in the other. */
function givenBack(usage: number, stats: Record<string, number>): number {
  const files = stats.total_inactive_file ?? stats.inactive_file ?? 0;
  return files < usage ? files : 0;
}

const sum = (values: (number | undefined)[]) =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0);
