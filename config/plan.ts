import type { Ask } from "../core/gpu";
import type { LimitsDocument } from "../core/limits";
import type { AgentConfig } from "./agent/schema";
import type { DeclaredGpuPlan } from "./gpu/resolve";
import type { GpuConfig } from "./gpu/schema";
import type { PortPlan, UserPorts } from "./network/ports";
import type { FabricConfig } from "./network/schema";
import type { RuntimeConfig } from "./runtime/schema";
import type { NodeConfig, UserConfig } from "./schema";
import type { QuotaConfig, StorageConfig } from "./storage/schema";

/** The stack with every default filled in and every placement decided. Plain data. */
export interface Plan {
  stack: string;
  network: NetworkPlan;
  ports: PortPlan;
  nodes: PlannedNode[];
  /** The node that runs the Ray head; one of `nodes`. */
  head: PlannedNode;
  users: UserPlan[];
  firewall: FirewallPlan;
  ray: RayPlan;
  /** Host port on the operator's loopback where images are pushed. */
  registryPort: number;
  dockerFirst: boolean;
  /**
   * Which of a node's addresses the workspaces' ports are published on; who gets there is the firewall's affair.
   */
  workspaceAddress: "private" | "public";
  /**
   * `loopback`: VS Code, JupyterLab and TensorBoard listen inside the workspace alone, and people forward them by SSH.
   * `published-insecure`: at the node's address too, where a browser hands their cookies to every neighbour's port.
   */
  workspaceServices: "loopback" | "published-insecure";
  /** What the droplets share; there when a node is one. */
  digitalocean?: DigitaloceanPlan;
  /** How GPUs are granted. */
  gpu: GpuPlan;
  /** What users and groups may have; as it is put on every node. */
  limits: LimitsDocument;
  /** The daemon of each node. */
  agent: AgentConfig;
  /** What holds data is protected, images go by digest. */
  production: boolean;
}

export interface RayPlan {
  enabled: boolean;
  /** Who has Ray's token, and so everything that runs in Ray: every user, or those named. */
  access: "all" | string[];
}

/** Whether a user has Ray's token. */
export const hasRay = ({ ray }: Pick<Plan, "ray">, user: string): boolean =>
  ray.enabled && (ray.access === "all" || ray.access.includes(user));

export interface GpuPlan extends Pick<GpuConfig, "strategy" | "allocation"> {
  /** The most that one share of a GPU may have; 0: no limit. */
  memoryLimitMiB: number;
}

/** The plan once the head's addresses are known. */
export interface LocatedPlan extends Plan {
  head: NodePlan;
}

export interface DigitaloceanPlan {
  region: string;
  /** The droplets' private network. */
  vpcCidr: string;
  project?: string;
  tags: string[];
  domain?: string;
  /** OpenSSH public keys of operators, beside Berth's own. */
  sshKeys: string[];
  /** Networks that may open SSH. */
  allowSshFrom: string[];
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

interface NodeBase {
  name: string;
  role: NodeConfig["role"];
  sshPort: number;
  sshUser: string;
  cpus: number;
  memoryBytes: number;
  /** What the node offers to Ray. */
  ray: { cpus: number; memoryBytes: number; gpu?: Ask };
  autoExec?: { login: string; user: string };
  /** The node's own parts and those of the stack. */
  storage: StorageConfig;
  fabric?: FabricConfig;
  /** The node's own parts and those of the stack. */
  runtime: RuntimeConfig;
  /** GPUs that the node is said to have, also none; left out: its driver is asked. */
  gpus?: DeclaredGpuPlan[];
}

/** Where a node is: the address that the operator's computer reaches, and the one that the nodes share. */
export interface Addresses {
  address: string;
  privateAddress: string;
}

export interface LocalNodePlan extends NodeBase, Addresses {
  kind: "local";
}

export interface BaremetalNodePlan extends NodeBase, Addresses {
  kind: "baremetal";
  /** `TYPE BASE64`. */
  hostKey: string;
  /** The key that opens it: a file, one of the operator's agent, or the stack's own. */
  key: KeyPlan;
  jump?: JumpPlan;
  /** The interface of the private address; found by the address when left out. */
  privateInterface?: string;
}

export type KeyPlan = { from: "file"; path: string } | { from: "agent" } | { from: "stack" };

export interface JumpPlan {
  host: string;
  user: string;
  port: number;
  /** `TYPE BASE64`. */
  hostKey: string;
}

/** A droplet; its addresses are known once it is made. */
export interface DigitaloceanNodePlan extends NodeBase, Partial<Addresses> {
  kind: "digitalocean";
  /** Slugs of DigitalOcean. */
  size: string;
  image: string;
  region: string;
  monitoring: boolean;
  ipv6: boolean;
  backups: boolean;
  reservedIp: boolean;
  volumes: VolumePlan[];
}

export interface VolumePlan {
  name: string;
  /** Whole GiB. */
  sizeBytes: number;
  filesystem: "ext4" | "xfs";
  mount: string;
}

/** A node as configuration knows it. */
export type PlannedNode = LocalNodePlan | BaremetalNodePlan | DigitaloceanNodePlan;

/** A node whose addresses are known, whatever its kind. */
export type NodePlan = LocalNodePlan | BaremetalNodePlan | (DigitaloceanNodePlan & Addresses);

/** The node with its addresses: a droplet's are given here, the others have theirs from configuration. */
export function locate(node: PlannedNode, addresses: Addresses): NodePlan {
  return node.kind === "digitalocean" ? { ...node, ...addresses } : node;
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
  /** What the workspace may use of its node. */
  resources: {
    cpus: number;
    memoryBytes: number;
    memoryReservationBytes: number;
    shmBytes: number;
    pids: number;
  };
  /** Room in the user's home, where the stack, the node or the user limits it. */
  quota?: QuotaConfig;
  /** The group that decides the user's limits; `default` for a user of none. */
  group: string;
  /** What the workspace asks of its node's GPUs. */
  gpu?: Ask;
  setup: UserConfig["setup"];
}

/** Secret values that come from configuration; the only part of it that must never be shown. */
export type UserSecrets = Record<string, { password?: string; credentials?: Record<string, string> }>;

/** The bridge between a node and its own workspaces; the same on every node, never routed outside. */
export const WORKSPACE_NETWORK = "172.30.0.0/24";
/** Docker would choose the same, but tell it only after a restart of dockerd. */
export const WORKSPACE_GATEWAY = "172.30.0.1";

/** First uid of the workspaces' users: above Debian's human users (1000-59999 is shared), stable by index. */
export const FIRST_UID = 20000;
