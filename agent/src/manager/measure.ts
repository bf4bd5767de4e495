/** What the node has for containers. */
import { statfsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { readIfThere } from "../proc";

const MiB = 2 ** 20;
/** The free disk changes by itself; what was measured a while ago is measured again. */
const MEASURE_MS = 10_000;
/** Processes promised for each that the kernel takes: few containers come near to what they may have. */
const PIDS_PROMISED = 4;
/** Where the kernel does not say how many it takes. */
const USUAL_PIDS = 32_768;

export interface Measured {
  memoryMiB: number;
  cpus: number;
  pids: number;
  diskFreeMiB: number;
  /** When the disk was measured, in milliseconds since the epoch. */
  at: number;
}

export class NodeMeasure {
  private last: Measured | undefined;

  /** @param folders the first that is there is on the file system where Docker keeps containers */
  constructor(
    private readonly folders: readonly string[] = ["/var/lib/docker", "/var/lib", "/"],
    private readonly now: () => number = Date.now,
  ) {}

  measure(): Measured {
    const now = this.now();
    if (this.last !== undefined && Math.abs(now - this.last.at) < MEASURE_MS) return this.last;
    this.last = {
      memoryMiB: totalmem() / MiB,
      cpus: availableParallelism(),
      pids:
        PIDS_PROMISED *
        Math.min(numberIn("/proc/sys/kernel/pid_max"), numberIn("/proc/sys/kernel/threads-max")),
      diskFreeMiB: this.diskFree(),
      at: now,
    };
    return this.last;
  }

  private diskFree(): number {
    for (const folder of this.folders) {
      try {
        const { bavail, bsize } = statfsSync(folder);
        return (bavail * bsize) / MiB;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    throw new Error(`none of ${this.folders.join(", ")} is there, and the free disk cannot be measured`);
  }
}

const numberIn = (file: string) => Number(readIfThere(file)?.trim() || USUAL_PIDS);
