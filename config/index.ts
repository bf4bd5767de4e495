/** The stack's configuration: its schema, defaults, port plan and checks. Pure; nothing here knows Pulumi. */
export { nfsNode } from "./check-storage";
export { type Loaded, type LoadOptions, loadConfig } from "./load";
export {
  clusterNetworks,
  nodeOpenings,
  type Opening,
  openings,
  REGISTRY_PULL_PORT,
  rayPorts,
  servedByHead,
  userRange,
} from "./openings";
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
export {
  PORTS_PER_USER,
  type PortPlan,
  type PortRange,
  type RayPorts,
  REGISTRY_PORTS,
  type UserPorts,
  userPorts,
  WEB_SERVICES,
} from "./ports";
export { ConfigError, type Problem } from "./problems";
export { type DeclaredGpuPlan, RAY_USER } from "./resolve-gpu";
export type { AgentConfig } from "./schema-gpu";
export type { FabricConfig, QuotaConfig, StorageConfig } from "./schema-storage";
export { isPublicKey, parseHostKey } from "./ssh-keys";
