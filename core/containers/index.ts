/** The containers that Berth makes: what they may do, how they are named and labelled, and how an engine is told. Pure. */
export { dockerArgs } from "./docker-args";
export { type ContainerBody, engineBody } from "./engine-body";
export { claim, FOREIGN, LABEL, labelList, type Ownership, ownerLabels, SYSTEM, unitLabels } from "./labels";
export { createdName, MAX_CONTAINER_NAME, physicalName, volumeName, workspaceName } from "./names";
export {
  CDI_KIND,
  type ContainerKind,
  CREATED_NETWORK,
  cdiDevice,
  containerPolicies,
  environment,
  NO_GPUS,
  variables,
} from "./policy";
export {
  publishedPorts,
  servicePorts,
  type UserService,
  WEB_SERVICES,
  type WebService,
  WORKSPACE_INNER_PORTS,
  WORKSPACE_SERVICES,
} from "./services";
export type { ContainerSpec, Mount } from "./spec";
