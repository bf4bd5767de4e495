/** The container manager: templates, the plan of their pools, and what a node has room for. Pure. */
export { admit, type Bound, capacity, type Need, type NodeRoom, type TemplateRoom } from "./capacity";
export { chooseHostPorts, type HostPortRange, type HostPortsInput, quarantine } from "./host-ports";
export {
  afterFailure,
  type BackOff,
  claimable,
  type PoolContainer,
  type PoolInput,
  type PoolPlan,
  planPool,
} from "./pool-plan";
export { type PoolSize, sizeAt } from "./schedule";
export { needOf, type Template, templateHash, templateSchema, templatesSchema } from "./template";
