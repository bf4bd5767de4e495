/** The container manager of the nodes: what their berthd is told, and what back-ends need. */
export {
  hasStandIn,
  type ManagerDocument,
  managerDocument,
  type NodeAddresses,
  purgedTenants,
} from "./document";
export { type ManagerInfo, managerInfos, tenantTokens, tokenHashes } from "./tokens";
