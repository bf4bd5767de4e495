/** What runs containers on a node: Docker, and where a GPU is found NVIDIA's driver, toolkit, CDI and MIG. */
export { type DaemonConfig, daemonConfig, MERGE } from "./daemon";
export { atFloor, checkFloors, type EngineVersions, FLOORS, type FloorReport, RUNC_CVES } from "./floors";
export { TOOLKIT_FLOOR } from "./nvidia";
export type { DockerOptions, DriverOptions, MigEntry, NvidiaOptions, RuntimeOptions } from "./options";
export { gpuSteps, renderRuntime, runtimeSteps } from "./render";
