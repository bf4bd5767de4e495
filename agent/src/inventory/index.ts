/** Which GPUs the node has, how they are, and what a container needs to get one. */

export { type CdiFile, cdiSpec, writeCdiSpec } from "./cdi";
export { readDeclared } from "./declared";
export { type Exec, type ExecResult, exec } from "./exec";
export {
  type FakePaths,
  fakePaths,
  installFakeNvidiaSmi,
  removeFakeNvidiaSmi,
} from "./fake";
export { computeInstanceCap, gpuInstanceCap } from "./fake-data";
export { fileLog, journalLog, type KernelLine, type KernelLog } from "./kernel-log";
export { type Busy, MigGuard, type MigGuardOptions } from "./mig-guard";
export { NvidiaSmi, type NvidiaSmiOptions } from "./nvidia-smi";
export {
  type ListedGpu,
  type ProfileRow,
  parseInstanceProfiles,
  parseList,
  parseTopology,
} from "./text";
export {
  type GpuProcess,
  type GpuReading,
  InventoryError,
  type InventoryFailure,
  type LostGpu,
  type Reading,
} from "./types";
export {
  fileMemory,
  type InventoryChange,
  InventoryWatch,
  type InventoryWatchOptions,
  type WatchClock,
  type WatchMemory,
  type WatchState,
} from "./watch";
export { fatalReason, fatalXids, parseXid, type XidEvent } from "./xid";
export { addLinks, parseNvidiaSmi } from "./xml";
