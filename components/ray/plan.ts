import type { NodePlan, Plan } from "../../config";

/** Ray's part of a node: what its container is told. Pure. */

const MiB = 2 ** 20;

/** Share of the Ray container's memory that holds objects; Ray's own default (DEFAULT_OBJECT_STORE_MEMORY_PROPORTION). */
const OBJECT_STORE_SHARE = 0.3;

/** `head` runs the GCS, the dashboard and the client server beside a worker's raylet. */
export type RayRole = NodePlan["role"];

export interface RaySettings {
  /** Whole MiB, for Docker. */
  memoryMiB: number;
  shmMiB: number;
  envs: string[];
}

/** The environment and sizes of one node's Ray container. */
export function raySettings(plan: Plan, node: NodePlan): RaySettings {
  const memoryMiB = Math.floor(node.ray.memoryBytes / MiB);
  const objectStoreMiB = Math.floor(memoryMiB * OBJECT_STORE_SHARE);
  const env: Record<string, string> = {
    BERTH_RAY_NODE_IP: node.privateAddress,
    BERTH_RAY_HEAD: `${plan.head.privateAddress}:${plan.ports.ray.gcs}`,
    BERTH_RAY_PORTS: JSON.stringify(plan.ports.ray),
    BERTH_RAY_CPUS: String(Math.max(1, Math.floor(node.ray.cpus))),
    BERTH_RAY_MEMORY: String((memoryMiB - objectStoreMiB) * MiB),
    BERTH_RAY_OBJECT_STORE: String(objectStoreMiB * MiB),
    BERTH_RAY_GPUS: "0",
    // One unit of the node's own name: a task that asks for `node_NAME` runs there.
    BERTH_RAY_RESOURCES: JSON.stringify({ [`node_${node.name}`]: 1 }),
    BERTH_RAY_DASHBOARD_HOST: node.privateAddress,
    RAY_AUTH_MODE: "token",
    RAY_AUTH_TOKEN_PATH: "/run/berth/ray/token",
  };
  return {
    memoryMiB,
    // A little more than the store: Ray's own queues share it.
    shmMiB: objectStoreMiB + 64,
    envs: Object.entries(env).map(([key, value]) => `${key}=${value}`),
  };
}

export interface RayAddresses {
  /** For drivers on a node of the cluster. */
  address: string;
  /** For Ray Client, from workspaces. */
  client: string;
  /** Dashboard and jobs API. */
  dashboard: string;
}

export function rayAddresses(plan: Plan): RayAddresses {
  const { privateAddress } = plan.head;
  const { gcs, client, dashboard } = plan.ports.ray;
  return {
    address: `${privateAddress}:${gcs}`,
    client: `ray://${privateAddress}:${client}`,
    dashboard: `http://${privateAddress}:${dashboard}`,
  };
}
