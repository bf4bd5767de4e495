/** The container manager: containers of tenants, and the pools that they are taken from. */

export { managerFaultPoints } from "./faults";
export { isManagedCreation } from "./maker";
export { Manager, type ManagerOptions, type TenantCaller } from "./manager";
export type { CacheMount, Logs, ManagedContainer, ManagedContainers, PackageCaches, Setups } from "./ports";
export { type ClaimRequest, claimSchema, type ManagedRequest, managedSchema } from "./request";
export type { ManagedStatus, ManagedView } from "./view";
