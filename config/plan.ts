import type { Ask } from "../core/gpu";
import type { LimitsDocument } from "../core/limits";
import type { AgentConfig } from "./agent/schema";
import type { DeclaredGpuPlan } from "./gpu/resolve";
import type { GpuConfig } from "./gpu/schema";
import type { ManagerPlan } from "./manager/plan";
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
  /** Containers that back-ends ask for; left out where there are none. */
  manager?: ManagerPlan;
  /** What holds data is protected, images go by digest. */
  production: boolean;
}

/** @example { enabled: true, access: ["alice", "bob"] } */
export interface RayPlan {
  enabled: boolean;
  /** Who has Ray's token, and so everything that runs in Ray: every user, or those named. */
  access: "all" | string[];
}

/** Whether a user has Ray's token. */
export const hasRay = ({ ray }: Pick<Plan, "ray">, user: string): boolean =>
  ray.enabled && (ray.access === "all" || ray.access.includes(user));

/** @example { strategy: "least-allocated", allocation: "shared", memoryLimitMiB: 16384 } */
export interface GpuPlan extends Pick<GpuConfig, "strategy" | "allocation"> {
  /** The most that one share of a GPU may have; 0: no limit. */
  memoryLimitMiB: number;
}

/** The plan once the head's addresses are known. */
export interface LocatedPlan extends Plan {
  head: NodePlan;
}

export interface DigitaloceanPlan {
  /**
   * Slug of the one region where droplets, volumes and the private network are.
   * @example "fra1"
   */
  region: string;
  /**
   * The droplets' private network.
   * @example "10.110.0.0/20"
   */
  vpcCidr: string;
  project?: string;
  tags: string[];
  domain?: string;
  /**
   * OpenSSH public keys of operators, beside Berth's own.
   * @example ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p carol"]
   */
  sshKeys: string[];
  /**
   * Networks that may open SSH.
   * @example ["192.0.2.0/24", "2001:db8::/32"]
   */
  allowSshFrom: string[];
}

/** @example { cidr: "10.88.0.0/24", gateway: "10.88.0.1", registry: "10.88.0.2" } */
export interface NetworkPlan {
  /** The stack's private network. */
  cidr: string;
  /** Where the operator's computer stands in it. */
  gateway: string;
  /** Where the stack's image registry stands in it. */
  registry: string;
}

/**
 * @example
 * {
 *   allowSsh: ["192.0.2.0/24"],
 *   allowUsers: ["10.0.0.0/8"],
 *   rules: [{ port: 443, protocol: "tcp", from: ["0.0.0.0/0", "::/0"] }],
 * }
 */
export interface FirewallPlan {
  allowSsh: string[];
  allowUsers: string[];
  rules: { port: number; protocol: "tcp" | "udp"; from: string[] }[];
}

/** What every kind of node has. */
export interface NodeBase {
  name: string;
  role: NodeConfig["role"];
  sshPort: number;
  sshUser: string;
  cpus: number;
  memoryBytes: number;
  /**
   * What the node offers to Ray.
   * @example { cpus: 8, memoryBytes: 16 * 2 ** 30, gpu: { kind: "gpu", count: 1 } }
   */
  ray: { cpus: number; memoryBytes: number; gpu?: Ask };
  /**
   * An SSH sign-in to the node as `login` leads into the workspace of `user`.
   * @default none
   * @example { login: "root", user: "alice" }
   */
  autoExec?: { login: string; user: string };
  /**
   * The node's own parts, and the stack's where the node has none.
   * @example { devices: [{ match: { serial: "S4EVNX0M" }, filesystem: "xfs", mount: "/data" }], bind: { workspaces: "/data/workspaces" } }
   */
  storage: StorageConfig;
  /**
   * A fast network beside the private one.
   * @default none
   * @example { enabled: true, interface: "ib0", address: "10.21.0.7/24", mtu: 65520 }
   */
  fabric?: FabricConfig;
  /**
   * The node's own parts, and the stack's where the node has none.
   * @example { docker: { from: "docker", version: "29.3.1" }, nvidia: { mig: [{ gpu: 0, layout: { "1g.10gb": 4, "3g.40gb": 1 } }] } }
   */
  runtime: RuntimeConfig;
  /**
   * GPUs that the node is said to have, also none.
   * @default what its driver shows
   * @example [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81920, count: 1, mig: { "1g.10gb": 7 }, nvlink: false }]
   */
  gpus?: DeclaredGpuPlan[];
}

/**
 * Where a node is: the address that the operator's computer reaches, and the one that the nodes share.
 * @example { address: "198.51.100.7", privateAddress: "10.20.0.7" }
 */
export interface Addresses {
  address: string;
  privateAddress: string;
}

export interface LocalNodePlan extends NodeBase, Addresses {
  kind: "local";
}

export interface BaremetalNodePlan extends NodeBase, Addresses {
  kind: "baremetal";
  /**
   * `TYPE BASE64`, without a comment.
   * @example "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p"
   */
  hostKey: string;
  /**
   * The key that opens it: a file, one of the operator's agent, or the stack's own.
   * @example { from: "file", path: "~/.ssh/cluster" }
   */
  key: KeyPlan;
  jump?: JumpPlan;
  /** The interface of the private address; found by the address when left out. */
  privateInterface?: string;
}

export type KeyPlan = { from: "file"; path: string } | { from: "agent" } | { from: "stack" };

/**
 * @example
 * {
 *   host: "bastion.example.com",
 *   user: "ops",
 *   port: 22,
 *   hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p",
 * }
 */
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
  /**
   * A slug of DigitalOcean.
   * @example "s-4vcpu-8gb"
   */
  size: string;
  /**
   * A slug of DigitalOcean, or the id of an image of yours.
   * @example "debian-13-x64"
   */
  image: string;
  region: string;
  monitoring: boolean;
  ipv6: boolean;
  backups: boolean;
  reservedIp: boolean;
  volumes: VolumePlan[];
}

/** @example { name: "data", sizeBytes: 500 * 2 ** 30, filesystem: "xfs", mount: "/mnt/storage" } */
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
  /**
   * What the workspace may use of its node.
   * @example { cpus: 2, memoryBytes: 3 * 2 ** 30, memoryReservationBytes: 512 * 2 ** 20, shmBytes: 256 * 2 ** 20, pids: 4096 }
   */
  resources: {
    cpus: number;
    memoryBytes: number;
    memoryReservationBytes: number;
    shmBytes: number;
    pids: number;
  };
  /**
   * Room in the user's home, where the stack, the node or the user limits it.
   * @default no limit
   * @example { soft: "90GiB", hard: "100GiB" }
   */
  quota?: QuotaConfig;
  /** The group that decides the user's limits; `default` for a user of none. */
  group: string;
  /**
   * What the workspace asks of its node's GPUs.
   * @default none
   * @example { kind: "mig", profile: "1g.10gb", count: 1 }
   */
  gpu?: Ask;
  setup: UserConfig["setup"];
}

/**
 * Secret values that come from configuration, by user; the only part of it that must never be shown.
 * @example { alice: { password: "a long one", credentials: { HF_TOKEN: "hf_0123" } } }
 */
export type UserSecrets = Record<string, { password?: string; credentials?: Record<string, string> }>;

/** The bridge between a node and its own workspaces; the same on every node, never routed outside. */
export const WORKSPACE_NETWORK = "172.30.0.0/24";
/** Docker would choose the same, but tell it only after a restart of dockerd. */
export const WORKSPACE_GATEWAY = "172.30.0.1";

/** First uid of the workspaces' users: above Debian's human users (1000-59999 is shared), stable by index. */
export const FIRST_UID = 20000;
