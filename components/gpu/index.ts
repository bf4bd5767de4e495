/** GPU grants of the stack: one pool per node. */
export {
  RAY_KEY,
  type RayGpus,
  rayGpus,
  withGpus,
  workspaceKey,
} from "./devices";
export { GpuPool, type GpuPoolArgs } from "./gpu-pool";
export { declaredOn, type NodePoolArgs, nodePool } from "./pools";
