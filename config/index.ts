/** The stack's configuration: its schema, defaults, port plan and checks. Pure; nothing here knows Pulumi. */
export { type Loaded, loadConfig } from "./load";
export type { FirewallPlan, NetworkPlan, NodePlan, Plan, UserPlan, UserSecrets } from "./plan";
export { WORKSPACE_NETWORK } from "./plan";
export {
  PORTS_PER_USER,
  type PortPlan,
  type PortRange,
  type RayPorts,
  type UserPorts,
  userPorts,
} from "./ports";
export { ConfigError, type Problem } from "./problems";
