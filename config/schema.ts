import { z } from "zod";

/**
 * The shape of a stack's configuration, as it stands in `Pulumi.<stack>.yaml` under `berth:`.
 * Strict everywhere: an unknown key is an error, never ignored. What one value means for another
 * (names, ranges, addresses) is checked in validate.ts.
 */

const units: Record<string, number> = {
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
const SIZE = /^(\d+(?:\.\d+)?)\s?(KiB|MiB|GiB|TiB|MB|GB|TB)$/;

/** `"8GiB"` to bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (!match) return undefined;
  const bytes = Number(match[1]) * (units[match[2] as string] as number);
  return Number.isSafeInteger(Math.floor(bytes)) ? Math.floor(bytes) : undefined;
}

const size = z.string().transform((text, context) => {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes <= 0) {
    context.addIssue({
      code: "custom",
      message: "is not a size",
      params: { allowed: 'a number and a unit, such as "512MiB" or "8GiB"' },
    });
    return z.NEVER;
  }
  return bytes;
});

const port = z.int().min(1).max(65535);
const range = z.strictObject({ start: port, end: port });
const cpus = z.number().min(0.1).max(1024);
const text = z.string().min(1).max(4096);

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
});

export const nodeKinds = ["local"] as const;

const user = z.strictObject({
  name: text,
  node: text,
  index: z.int().min(0),
  state: z.enum(["running", "stopped", "removed"]).default("running"),
  purge: z.boolean().default(false),
  keys: z.array(text).default([]),
  sudo: z.boolean().default(true),
  password: z.string().min(12).max(128).optional(),
  credentialsVersion: z.int().min(1).default(1),
  ...limits,
  setup: setup.optional(),
});

export const stackSchema = z.strictObject({
  nodes: z.array(localNode).min(1),
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
      pool: range.optional(),
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
  workspaces: z.strictObject(limits).default({}),
  ray: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** Memory of each Ray container; a share of the node's when left out. */
      memory: size.optional(),
      /** CPUs that each node offers to Ray; all of the node's when left out. */
      cpus: cpus.optional(),
    })
    .default({ enabled: true }),
  registryPort: port.default(5001),
  dockerFirst: z.boolean().default(true),
});

export type StackConfig = z.output<typeof stackSchema>;
export type NodeConfig = StackConfig["nodes"][number];
export type UserConfig = StackConfig["users"][number];

/** The top-level keys, each `berth:<key>` in the stack file. */
export const stackKeys = Object.keys(stackSchema.shape);
