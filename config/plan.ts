import type { PortPlan, UserPorts } from "./ports";
import type { NodeConfig, StackConfig, UserConfig } from "./schema";

/** The stack with every default filled in and every placement decided. Plain data. */
export interface Plan {
  stack: string;
  network: NetworkPlan;
  ports: PortPlan;
  nodes: NodePlan[];
  /** The node that runs the Ray head; one of `nodes`. */
  head: NodePlan;
  users: UserPlan[];
  firewall: FirewallPlan;
  ray: { enabled: boolean };
  /** Host port on the operator's loopback where images are pushed. */
  registryPort: number;
  dockerFirst: boolean;
}

export interface NetworkPlan {
  /** The stack's private network. */
  cidr: string;
  /** Where the operator's computer stands in it. */
  gateway: string;
  /** Where the stack's image registry stands in it. */
  registry: string;
}

export interface FirewallPlan {
  allowSsh: string[];
  allowUsers: string[];
  rules: { port: number; protocol: "tcp" | "udp"; from: string[] }[];
}

export interface NodePlan {
  name: string;
  kind: NodeConfig["kind"];
  role: NodeConfig["role"];
  address: string;
  privateAddress: string;
  sshPort: number;
  sshUser: string;
  cpus: number;
  memoryBytes: number;
  /** What the node offers to Ray. */
  ray: { cpus: number; memoryBytes: number };
  autoExec?: { login: string; user: string };
}

export interface UserPlan {
  name: string;
  node: string;
  index: number;
  uid: number;
  state: UserConfig["state"];
  purge: boolean;
  keys: string[];
  sudo: boolean;
  credentialsVersion: number;
  /** True when the password comes from configuration instead of the stack's seed. */
  ownPassword: boolean;
  ports: UserPorts;
  limits: {
    cpus: number;
    memoryBytes: number;
    memoryReservationBytes: number;
    shmBytes: number;
    pids: number;
  };
  setup: UserConfig["setup"];
}

/** Secret values that come from configuration; the only part of it that must never be shown. */
export type UserSecrets = Record<string, { password?: string; credentials?: Record<string, string> }>;

/** The bridge between a node and its own workspaces; the same on every node, never routed outside. */
export const WORKSPACE_NETWORK = "172.30.0.0/24";

/** First uid of the workspaces' users: above Debian's human users (1000-59999 is shared), stable by index. */
export const FIRST_UID = 20000;

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** What a workspace gets when neither the user nor `berth:workspaces` says. */
export const defaultLimits = {
  cpus: 2,
  memory: 3 * GiB,
  memoryReservation: 512 * MiB,
  shm: 256 * MiB,
  pids: 4096,
};

/** Share of a node's memory that Ray gets when `berth:ray.memory` is left out. */
export const RAY_MEMORY_SHARE = 0.4;

export function userLimits(config: StackConfig, user: UserConfig): UserPlan["limits"] {
  const pick = <K extends keyof typeof defaultLimits>(key: K): number =>
    user[key] ?? config.workspaces[key] ?? defaultLimits[key];
  const memoryBytes = pick("memory");
  return {
    cpus: pick("cpus"),
    memoryBytes,
    memoryReservationBytes: Math.min(pick("memoryReservation"), memoryBytes),
    shmBytes: Math.min(pick("shm"), memoryBytes),
    pids: pick("pids"),
  };
}

export function rayMemory(config: StackConfig, node: NodeConfig): number {
  return config.ray.memory ?? Math.floor((node.memory * RAY_MEMORY_SHARE) / MiB) * MiB;
}
