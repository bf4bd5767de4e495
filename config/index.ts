/** The stack's configuration: its schema, defaults, port plan and checks. Pure; nothing here knows Pulumi. */
export type { AgentConfig } from "./agent/schema";
export { type DeclaredGpuPlan, RAY_USER } from "./gpu/resolve";
export { type Loaded, type LoadOptions, loadConfig } from "./load";
export { isPublicKey, PLAIN_PATH, parseHostKey } from "./machines/ssh-keys";
export { isInterface } from "./network/check";
export { freePool, POOL_CANDIDATES } from "./network/docker-networks";
export {
  clusterNetworks,
  nodeOpenings,
  type Opening,
  openings,
  REGISTRY_PULL_PORT,
  rayPorts,
  servedByHead,
  userRange,
} from "./network/openings";
export {
  FIRST_EPHEMERAL_PORT,
  PORTS_PER_USER,
  type PortPlan,
  type PortRange,
  type RayPorts,
  REGISTRY_PORTS,
  type UserPorts,
  userPorts,
} from "./network/ports";
export type { FabricConfig } from "./network/schema";
export { findPlaceholders, isPlaceholder } from "./placeholders";
export type {
  Addresses,
  BaremetalNodePlan,
  DigitaloceanNodePlan,
  DigitaloceanPlan,
  FirewallPlan,
  GpuPlan,
  JumpPlan,
  KeyPlan,
  LocalNodePlan,
  LocatedPlan,
  NetworkPlan,
  NodePlan,
  Plan,
  PlannedNode,
  RayPlan,
  UserPlan,
  UserSecrets,
  VolumePlan,
} from "./plan";
export { hasRay, locate, WORKSPACE_GATEWAY, WORKSPACE_NETWORK } from "./plan";
export { ConfigError, type Problem } from "./problems";
export { GPU_UUID, layoutProblem } from "./runtime/check";
export type { MigConfig } from "./runtime/schema";
export { nfsExport, nfsNode } from "./storage/resolve";
export type { QuotaConfig, StorageConfig } from "./storage/schema";
export { hasWorkspace, mustRun } from "./users/resolve";
export { parseSize, sizeText } from "./values";
