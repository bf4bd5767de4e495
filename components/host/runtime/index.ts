/** What runs containers on a node: Docker, and where a GPU is found NVIDIA's driver, toolkit, CDI and MIG. */
export { daemonConfig, MERGE } from "./daemon";
export { atFloor, belowFloors, FLOORS, RUNC_CVES } from "./floors";
export type { DockerOptions, MigEntry, NvidiaOptions, RuntimeOptions } from "./options";
export { renderRuntime, runtimeSteps } from "./render";
