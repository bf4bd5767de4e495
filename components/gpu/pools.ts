import type * as pulumi from "@pulumi/pulumi";
import { hasWorkspace, type Plan, type PlannedNode, RAY_USER } from "../../config";
import type { DeclaredGrant } from "../../core/gpu";
import { declaredInventory } from "../../core/gpu";
import { BaremetalNode, type Node, sshTarget } from "../node";
import { RAY_KEY, workspaceKey } from "./devices";
import { GpuPool } from "./gpu-pool";

/** What the stack grants on a node. Pure. */
function declaredOn(plan: Plan, node: PlannedNode): DeclaredGrant[] {
  const ask = plan.ray.enabled ? node.ray.gpu : undefined;
  const ray = ask ? [{ key: RAY_KEY, user: RAY_USER, ask }] : [];
  const workspaces = plan.users.flatMap((user) =>
    user.node === node.name && hasWorkspace(user) && user.gpu
      ? [{ key: workspaceKey(user.name), user: user.name, ask: user.gpu }]
      : [],
  );
  return [...ray, ...workspaces];
}

/** @example { plan, node, after: [agent] } */
export interface NodePoolArgs {
  plan: Plan;
  node: Node;
  /** What the node's ledger needs: berthd. */
  after: pulumi.Resource[];
}

/** How the stack divides the node's own GPUs; undefined where it leaves them as they are. */
function layoutsOf({ kind, gpus, runtime: { gpu, nvidia } }: PlannedNode) {
  const own = kind !== "local" && gpus === undefined && gpu !== "off";
  return own && nvidia?.mig?.length ? nvidia.mig : undefined;
}

/**
 * The pool of a node; none where the stack neither grants, declares nor divides a GPU. One that it only divides has a
 * pool for its check: people may hold what they asked the node for.
 */
export function nodePool(
  parent: pulumi.Resource,
  name: string,
  { plan, node, after }: NodePoolArgs,
): GpuPool | undefined {
  const declared = declaredOn(plan, node.plan);
  const { gpus } = node.plan;
  const layouts = layoutsOf(node.plan);
  if (declared.length === 0 && !gpus?.length && !layouts) return undefined;
  const { machine } = node;
  // A server that leaves the stack takes its ledger along, and is not asked to give anything back.
  const standsOn = machine ?? (node instanceof BaremetalNode ? node.adopted : undefined);
  return new GpuPool(
    name,
    {
      node: node.plan.name,
      target: sshTarget(node),
      sshOptions: node.sshOptions,
      ...(machine ? { machine: machine.id } : {}),
      declared,
      ...(gpus ? { inventory: declaredInventory(gpus, node.plan.name) } : {}),
      ...(layouts ? { layouts } : {}),
      limits: plan.limits,
      groups: Object.fromEntries(plan.users.map((user) => [user.name, user.group])),
      strategy: plan.gpu.strategy,
      allowShared: plan.gpu.allocation === "shared",
    },
    { parent, dependsOn: after, ...(standsOn ? { deletedWith: standsOn } : {}) },
  );
}
