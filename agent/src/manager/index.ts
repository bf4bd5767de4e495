/** The container manager: containers of tenants, and the pools that they are taken from. */

export { managerFaultPoints } from "./faults";
export { FormerTenants, type Holding } from "./former";
export { Manager, type TenantCaller } from "./manager";
export type { Logs, ManagedContainer, ManagedContainers, PackageCaches, Setups } from "./ports";
export { isLeaving, noContainer, notMadeYet } from "./refusals";
export { claimSchema, type ManagedRequest, managedSchema } from "./request";
