import type { LocatedPlan, NodePlan, PlannedNode } from "../../config";
import { NO_GPUS, variables } from "../../core/containers";
import type { GrantedUnit } from "../../core/gpu";
import { rayGpus } from "../gpu/devices";

/** Ray's part of a node: what its container is told. Pure. */

/**
 * The uid that images/ray runs as. It alone, root apart, can read the token on a node, and the firewall tells Ray's
 * connections by it.
 */
export const RAY_UID = 10001;

const MiB = 2 ** 20;

/** Share of the Ray container's memory that holds objects; Ray's own default (DEFAULT_OBJECT_STORE_MEMORY_PROPORTION). */
const OBJECT_STORE_SHARE = 0.3;

/** `head` runs the GCS, the dashboard and the client server beside a worker's raylet. */
export type RayRole = NodePlan["role"];

export interface RaySizes {
  /** Whole MiB, for Docker. */
  memoryMiB: number;
  shmMiB: number;
  objectStoreMiB: number;
}

/** What one node's Ray container takes of the machine. */
export function raySizes(node: PlannedNode): RaySizes {
  const memoryMiB = Math.floor(node.ray.memoryBytes / MiB);
  const objectStoreMiB = Math.floor(memoryMiB * OBJECT_STORE_SHARE);
  // A little more than the store: Ray's own queues share it.
  return { memoryMiB, objectStoreMiB, shmMiB: objectStoreMiB + 64 };
}

/**
 * The environment of one node's Ray container.
 *
 * @param fabric variables for NCCL, where the node has a fast network.
 * @param units what Ray was granted of the node's GPUs. A task that asks for GPUs gets as many of them, by UUID; one
 *   that also asks for `gpu:H100` or `mig:1g.10gb` gets them of that kind.
 */
export function rayEnvironment(
  plan: LocatedPlan,
  node: NodePlan,
  fabric: Readonly<Record<string, string>> = {},
  units: readonly GrantedUnit[] = [],
): string[] {
  const { gpus, resources } = rayGpus(units);
  const { memoryMiB, objectStoreMiB } = raySizes(node);
  const env: Record<string, string> = {
    BERTH_RAY_NODE_IP: node.privateAddress,
    BERTH_RAY_HEAD: `${plan.head.privateAddress}:${plan.ports.ray.gcs}`,
    BERTH_RAY_PORTS: JSON.stringify(plan.ports.ray),
    BERTH_RAY_CPUS: String(Math.max(1, Math.floor(node.ray.cpus))),
    BERTH_RAY_MEMORY: String((memoryMiB - objectStoreMiB) * MiB),
    BERTH_RAY_OBJECT_STORE: String(objectStoreMiB * MiB),
    BERTH_RAY_GPUS: String(gpus),
    // One unit of the node's own name: a task that asks for `node_NAME` runs there.
    BERTH_RAY_RESOURCES: JSON.stringify({ [`node_${node.name}`]: 1, ...resources }),
    BERTH_RAY_DASHBOARD_HOST: node.privateAddress,
    ...NO_GPUS,
    // Ray hands its tasks the names that stand here; a MIG instance has no other name than its UUID.
    ...(gpus > 0 ? { CUDA_VISIBLE_DEVICES: units.map(({ uuid }) => uuid).join(",") } : {}),
    RAY_AUTH_MODE: "token",
    RAY_AUTH_TOKEN_PATH: "/run/berth/ray/token",
    ...fabric,
  };
  return variables(env);
}

export interface RayAddresses {
  /** For drivers on a node of the cluster. */
  address: string;
  /** For Ray Client, from workspaces. */
  client: string;
  /** Dashboard and jobs API. */
  dashboard: string;
}

export function rayAddresses({ head, ports }: Pick<LocatedPlan, "head" | "ports">): RayAddresses {
  const { privateAddress } = head;
  const { gcs, client, dashboard } = ports.ray;
  return {
    address: `${privateAddress}:${gcs}`,
    client: `ray://${privateAddress}:${client}`,
    dashboard: `http://${privateAddress}:${dashboard}`,
  };
}
