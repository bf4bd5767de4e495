import type { Inventory } from "../../../core/gpu";

/** A process that the driver names. Not all: see {@link GpuReading.processes}. */
export interface GpuProcess {
  pid: number;
  name: string;
  /** `C`, `G`, `M+C`: as the driver says. */
  type: string;
  memoryMiB: number | null;
  /** Of a MIG GPU: the instance it runs in. */
  gi?: number;
  ci?: number;
}

/** What changes from second to second on one GPU. `null`: the driver does not say. */
export interface GpuReading {
  uuid: string;
  index: number;
  /** `0000:3b:00`, as the kernel log names the GPU. */
  pci: string;
  /** The number in `/dev/nvidia<minor>`. */
  minor: number | null;
  migMode: "enabled" | "disabled" | "unsupported";
  /** Different from `migMode`: it changes at the next reset of the GPU. */
  migModePending: "enabled" | "disabled" | "unsupported" | null;
  memoryUsedMiB: number | null;
  /** Percent of the last sample period. `null` on a GPU in MIG mode: the driver has none there. */
  utilisation: number | null;
  temperatureC: number | null;
  powerW: number | null;
  /** Set: the driver itself says that nobody can use this GPU until it is reset or replaced. */
  fault?: string;
  /**
   * For people alone. A process in another PID namespace (every container's) is not in the list that a container reads,
   * and some drivers leave it out on the host as well: a GPU at 100 % may show none. So nothing is called idle for an
   * empty list; `utilisation` and `memoryUsedMiB` are what tells.
   */
  processes: GpuProcess[];
  instances: { uuid: string; gi: number; ci: number; memoryUsedMiB: number | null }[];
}

/** A GPU of which the driver gives no more than its address, or its UUID. */
export interface LostGpu {
  /** `0000:3b:00`; left out where the driver does not say it. */
  pci?: string;
  uuid?: string;
  reason: string;
}

export interface Reading {
  inventory: Inventory;
  /** In the order of the inventory's GPUs. */
  readings: GpuReading[];
  lost: LostGpu[];
  /** What could not be read, and decides nothing: links, numbers for people, figures. */
  warnings: string[];
}

/**
 * Why nvidia-smi cannot be believed: it did not end in time, ended with an error, printed what it never prints, or is not
 * installed.
 */
export type InventoryFailure = "hang" | "exit" | "garbage" | "missing";

/** `where` is the command, or the place in its output. */
export class InventoryError extends Error {
  override readonly name = "InventoryError";
  constructor(
    readonly code: InventoryFailure,
    message: string,
    readonly where: string,
    /** Of the command, for `exit`. */
    readonly exitCode?: number,
    /** The answers of two commands do not go together: it may have changed in between. */
    readonly again = false,
  ) {
    super(message);
  }
}
