/** The stack's configuration: its schema, defaults, port plan and checks. Pure; nothing here knows Pulumi. */
export type { PortRange } from "../core/net";
export { RAY_USER } from "./gpu/resolve";
export { type LoadOptions, loadConfig } from "./load";
export { isPublicKey, PLAIN_PATH, parseHostKey } from "./machines/ssh-keys";
export { type ManagerPlan, managerOf } from "./manager/plan";
export { freePool, POOL_CANDIDATES } from "./network/docker-networks";
export {
  clusterNetworks,
  NFS_PORT,
  nodeOpenings,
  type Opening,
  openings,
  REGISTRY_PULL_PORT,
  rayPorts,
  servedByHead,
  userRanges,
} from "./network/openings";
export { FIRST_EPHEMERAL_PORT, PORTS_PER_USER, REGISTRY_PORTS } from "./network/ports";
export { findPlaceholders, isPlaceholder } from "./placeholders";
export type {
  BaremetalNodePlan,
  DigitaloceanNodePlan,
  DigitaloceanPlan,
  KeyPlan,
  LocalNodePlan,
  LocatedPlan,
  NodePlan,
  Plan,
  PlannedNode,
  UserPlan,
  UserSecrets,
  VolumePlan,
} from "./plan";
export { hasRay, locate, WORKSPACE_GATEWAY, WORKSPACE_NETWORK } from "./plan";
export { ConfigError, type Problem } from "./problems";
export type { MigConfig, RuntimeInput } from "./runtime/schema";
export { nfsNode } from "./storage/resolve";
export type { StorageInput } from "./storage/schema";
export { hasWorkspace, mustRun } from "./users/resolve";
export { parseSize, sizeText } from "./values";
