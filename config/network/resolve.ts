import { inherit } from "../inherit";
import type { PlannedNode } from "../plan";
import type { NodeConfig, StackConfig } from "../schema";
import { servedByHead } from "./openings";
import { defaultPorts, PORTS_WITHOUT_USERS, type PortPlan, REGISTRY_PORTS } from "./ports";

/** Ports, and who may reach them, where the stack does not say. Pure. */

export function mergePorts(config: StackConfig): PortPlan {
  const { users, containers, ray } = config.ports;
  const people = config.users.length > 0;
  const free = config.manager && !people ? PORTS_WITHOUT_USERS : defaultPorts.containers;
  return {
    users: { ...inherit(defaultPorts.users, users), ...(people ? {} : { blocks: 0 }) },
    containers: containers ?? free,
    ray: inherit(defaultPorts.ray, ray),
    ...(config.agent.listen === "off" ? {} : { agent: config.agent.port }),
    ...(config.manager ? { manager: config.manager.port } : {}),
    ...(servedByHead(config) ? { registry: REGISTRY_PORTS } : {}),
  };
}

const has = (config: StackConfig, kind: NodeConfig["kind"]) => config.nodes.some((n) => n.kind === kind);

/** The networks of the nodes that Berth makes itself; bare metal has none that configuration would know. */
export function defaultAllowSsh(config: StackConfig): string[] {
  const local = has(config, "local") ? [config.network.cidr] : [];
  return [...local, ...(config.digitalocean?.allowSshFrom ?? [])];
}

/** Who reaches workspaces unless the stack says: the private networks, and bare-metal nodes among themselves. */
export function defaultAllowUsers(config: StackConfig, nodes: readonly PlannedNode[]): string[] {
  return [
    ...(has(config, "local") ? [config.network.cidr] : []),
    ...(has(config, "digitalocean") && config.digitalocean ? [config.digitalocean.vpcCidr] : []),
    ...nodes.flatMap((node) => (node.kind === "baremetal" ? [node.privateAddress] : [])),
  ];
}
