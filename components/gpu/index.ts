/** GPU grants of the stack: one pool per node. */
export { RAY_KEY, withGpus, workspaceKey } from "./devices";
export { GpuPool } from "./gpu-pool";
export { nodePool } from "./pools";
