import { hasWorkspace, managerOf, type Plan, type PlannedNode } from "../../config";
import { managerDocument, type NodeAddresses, purgedTenants } from "../manager";
import type { AgentDocuments } from "./options";

/** People with a workspace on the node, stopped ones too. */
export function nodeUsers(plan: Pick<Plan, "users">, node: Pick<PlannedNode, "name">) {
  return plan.users.filter((user) => user.node === node.name && hasWorkspace(user));
}

/**
 * What a node's berthd is told, from the plan. Pure.
 *
 * @param at where the API listens when the stack opens it to its nodes, and where the container manager does
 * @param tokenHashes of tenants, by their names
 * @param standIn the image that stands in for the names of `manager.images.standIn`, by digest
 */
export function agentDocuments(
  plan: Plan,
  node: PlannedNode,
  at: NodeAddresses,
  tokenHashes: Readonly<Record<string, string>> = {},
  standIn?: string,
): AgentDocuments {
  const { images, listen, port } = plan.agent;
  const manager = managerDocument(plan, node, at, standIn);
  const purgeTenants = purgedTenants(plan, node);
  const tenants = managerOf(plan, node)?.tenants.map(({ name }) => {
    const tokenHash = tokenHashes[name];
    return { name, ...(tokenHash === undefined ? {} : { tokenHash }) };
  });
  return {
    node: {
      stack: plan.stack,
      node: node.name,
      strategy: plan.gpu.strategy,
      allocation: plan.gpu.allocation,
      memoryLimitMiB: plan.gpu.memoryLimitMiB,
      users: nodeUsers(plan, node)
        .map(({ name, uid, group }) => ({ name, uid, group }))
        // Another order in the configuration is no change.
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      ...(tenants ? { tenants: tenants.sort((a, b) => (a.name < b.name ? -1 : 1)) } : {}),
      ...(manager ? { manager } : {}),
      ...(purgeTenants ? { purgeTenants } : {}),
      listen,
      port,
      ...(listen === "private" ? { privateAddress: at.privateAddress } : {}),
      ports: { containers: { start: plan.ports.containers.start, end: plan.ports.containers.end } },
      ...(images ? { images } : {}),
    },
    limits: plan.limits,
    ...(node.gpus ? { gpus: { node: node.name, gpus: node.gpus } } : {}),
  };
}
