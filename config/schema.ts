import { z } from "zod";
import { cpus, port, publicKey, range, size, text } from "./schema-base";
import { agent, gpu, limitsDocument, nodeGpus, nodeRay, userGpu } from "./schema-gpu";
import { baremetalDefaults, baremetalNode, digitalocean, digitaloceanNode } from "./schema-machines";
import { runtime } from "./schema-runtime";
import { fabric, quota, storage } from "./schema-storage";

export { parseSize } from "./schema-base";

/**
 * The shape of a stack's configuration, as it stands in `Pulumi.<stack>.yaml` under `berth:`.
 * Strict everywhere: an unknown key is an error, never ignored. What one value means for another
 * (names, ranges, addresses) is checked in validate.ts.
 */

const setup = z.strictObject({
  credentials: z.record(z.string(), z.string()).optional(),
  aptPackages: z.array(text).optional(),
  dotfiles: z.strictObject({ repository: text, branch: text.optional() }).optional(),
  git: z
    .strictObject({
      name: text.optional(),
      email: text.optional(),
      config: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  repositories: z
    .array(z.strictObject({ url: text, path: text.optional(), branch: text.optional() }))
    .optional(),
  python: z
    .strictObject({
      version: text.optional(),
      venv: text.optional(),
      packages: z.array(text).optional(),
      requirements: text.optional(),
    })
    .optional(),
  services: z.array(z.strictObject({ name: text, command: text, cwd: text.optional() })).optional(),
});

const limits = {
  /** CPUs a workspace may use at most. */
  cpus: cpus.optional(),
  /** Memory a workspace may use at most. */
  memory: size.optional(),
  /** Memory kept for a workspace when the node runs short. */
  memoryReservation: size.optional(),
  /** Size of /dev/shm. */
  shm: size.optional(),
  /** Processes and threads at most. */
  pids: z.int().min(64).max(4194304).optional(),
};

const localNode = z.strictObject({
  kind: z.literal("local"),
  name: text,
  role: z.enum(["head", "worker"]),
  address: text,
  cpus,
  memory: size,
  autoExec: z.strictObject({ login: text, user: text }).optional(),
  storage: storage.optional(),
  fabric: fabric.optional(),
  runtime: runtime.optional(),
  gpus: nodeGpus.optional(),
  ray: nodeRay.optional(),
});

export const nodeKinds = ["local", "digitalocean", "baremetal"] as const;

const user = z.strictObject({
  name: text,
  node: text,
  index: z.int().min(0),
  state: z.enum(["running", "stopped", "removed"]).default("running"),
  purge: z.boolean().default(false),
  keys: z.array(publicKey).default([]),
  sudo: z.boolean().default(true),
  password: z.string().min(12).max(128).optional(),
  credentialsVersion: z.int().min(1).default(1),
  ...limits,
  /** Room in the user's home; the stack's `storage.quota.home` when left out. */
  quota: quota.optional(),
  /** A group of `berth:limits`. */
  group: text.optional(),
  /** What the workspace asks of its node's GPUs; none when left out. */
  gpu: userGpu.optional(),
  setup: setup.optional(),
});

export const stackSchema = z.strictObject({
  nodes: z.array(z.discriminatedUnion("kind", [localNode, digitaloceanNode, baremetalNode])).min(1),
  users: z.array(user).default([]),
  network: z.strictObject({ cidr: text }).default({ cidr: "10.88.0.0/24" }),
  firewall: z
    .strictObject({
      allowSsh: z.array(text).optional(),
      allowUsers: z.array(text).optional(),
      rules: z
        .array(
          z.strictObject({
            port,
            protocol: z.enum(["tcp", "udp"]).default("tcp"),
            from: z.array(text).min(1),
          }),
        )
        .default([]),
    })
    .default({ rules: [] }),
  ports: z
    .strictObject({
      users: z
        .strictObject({ start: port.optional(), blocks: z.int().min(1).max(500).optional() })
        .optional(),
      containers: range.optional(),
      ray: z
        .strictObject({
          gcs: port.optional(),
          dashboard: port.optional(),
          client: port.optional(),
          nodeManager: port.optional(),
          objectManager: port.optional(),
          runtimeEnvAgent: port.optional(),
          dashboardAgentHttp: port.optional(),
          dashboardAgentGrpc: port.optional(),
          metrics: port.optional(),
          workers: range.optional(),
        })
        .optional(),
    })
    .default({}),
  workspaces: z
    .strictObject({
      ...limits,
      /** The address of each node that workspaces' ports are published on; "private" when left out. */
      address: z.enum(["private", "public"]).optional(),
      /** Where VS Code, JupyterLab and TensorBoard listen; "loopback" when left out. */
      services: z.enum(["loopback", "published-insecure"]).optional(),
    })
    .default({}),
  ray: z
    .strictObject({
      /** False: the stack has no Ray at all. */
      enabled: z.boolean().default(true),
      /**
       * The users who have Ray's token: with it, each runs programs as the one account of Ray's, and reads and stops what
       * the others run there. Left out: all users. Empty: nobody.
       */
      access: z.array(text).optional(),
      /** Memory of each Ray container; a share of the node's when left out. */
      memory: size.optional(),
      /** CPUs that each node offers to Ray; all of the node's when left out. */
      cpus: cpus.optional(),
    })
    .default({ enabled: true }),
  registryPort: port.default(5001),
  dockerFirst: z.boolean().default(true),
  digitalocean: digitalocean.optional(),
  /** What bare-metal nodes have in common; each may say otherwise. */
  baremetal: baremetalDefaults.default({}),
  storage: storage.default({}),
  /** What runs containers; a node's own part of the same name replaces it whole. */
  runtime: runtime.default({}),
  /** How GPUs are granted. */
  gpu: gpu.default(gpu.parse({})),
  /** What users and groups may have. */
  limits: limitsDocument,
  /** The daemon of each node. */
  agent: agent.default(agent.parse({})),
  /** True: what holds data is protected, images go by digest. */
  production: z.boolean().default(false),
});

export type StackConfig = z.output<typeof stackSchema>;
export type NodeConfig = StackConfig["nodes"][number];
export type LocalNodeConfig = Extract<NodeConfig, { kind: "local" }>;
export type DigitaloceanNodeConfig = Extract<NodeConfig, { kind: "digitalocean" }>;
export type BaremetalNodeConfig = Extract<NodeConfig, { kind: "baremetal" }>;
export type UserConfig = StackConfig["users"][number];

/** The top-level keys, each `berth:<key>` in the stack file. */
export const stackKeys = Object.keys(stackSchema.shape);
