/** The stack's configuration: its schema, defaults, port plan and checks. Pure; nothing here knows Pulumi. */
export { type Loaded, type LoadOptions, loadConfig } from "./load";
export type {
  Addresses,
  BaremetalNodePlan,
  DigitaloceanNodePlan,
  DigitaloceanPlan,
  FirewallPlan,
  JumpPlan,
  KeyPlan,
  LocalNodePlan,
  NetworkPlan,
  NodePlan,
  Plan,
  PlannedNode,
  UserPlan,
  UserSecrets,
  VolumePlan,
} from "./plan";
export { locate, WORKSPACE_NETWORK } from "./plan";
export {
  PORTS_PER_USER,
  type PortPlan,
  type PortRange,
  type RayPorts,
  type UserPorts,
  userPorts,
} from "./ports";
export { ConfigError, type Problem } from "./problems";
export type { FabricConfig, QuotaConfig, StorageConfig } from "./schema-storage";
export { isPublicKey, parseHostKey } from "./ssh-keys";
