import { z } from "zod";
import { cpus, port, publicKey, size, text } from "./schema-base";
import { nodeGpus, nodeRay } from "./schema-gpu";
import { runtime } from "./schema-runtime";
import { fabric, filesystem, storage } from "./schema-storage";

/** Shape of the nodes that are real machines, and of what they have in common. Checked in check-machines.ts. */

const common = {
  name: text,
  role: z.enum(["head", "worker"]),
  /** CPUs that Ray and workspaces may take in all. */
  cpus,
  /** Memory that Ray and workspaces may take in all. */
  memory: size,
  autoExec: z.strictObject({ login: text, user: text }).optional(),
  storage: storage.optional(),
  fabric: fabric.optional(),
  runtime: runtime.optional(),
  /** GPUs that the node is said to have; its driver is asked when left out. */
  gpus: nodeGpus.optional(),
  ray: nodeRay.optional(),
};

export const digitaloceanNode = z.strictObject({
  kind: z.literal("digitalocean"),
  ...common,
  /** Slug of the droplet's size, such as `s-2vcpu-4gb`. */
  size: text,
  image: text.default("debian-13-x64"),
  /** `digitalocean.region` when left out. */
  region: text.optional(),
  monitoring: z.boolean().default(true),
  ipv6: z.boolean().default(false),
  backups: z.boolean().default(false),
  reservedIp: z.boolean().default(false),
  volumes: z
    .array(z.strictObject({ name: text, size, filesystem: filesystem.default("ext4"), mount: text }))
    .default([]),
});

export const digitalocean = z.strictObject({
  region: text,
  vpcCidr: text.default("10.110.0.0/20"),
  project: text.optional(),
  tags: z.array(text).default([]),
  domain: text.optional(),
  /** Public keys of operators, beside Berth's own. */
  sshKeys: z.array(publicKey).default([]),
  /** Networks that may open SSH to the droplets; also the default of `firewall.allowSsh`. */
  allowSshFrom: z.array(text).optional(),
});

const jump = z.strictObject({
  host: text,
  user: text.optional(),
  port: port.optional(),
  /** Left out it is an error of its own, with the command that prints it. */
  hostKey: text.optional(),
});

/** How a bare-metal machine is reached: on the node, or once for all under `berth:baremetal`. */
const access = {
  user: text.optional(),
  port: port.optional(),
  /** Private key file on the operator's computer. */
  keyFile: text.optional(),
  /** Keys of the operator's SSH agent instead of a file. */
  agent: z.boolean().optional(),
  jump: jump.optional(),
  /** The network interface of the private address. */
  privateInterface: text.optional(),
};

export const baremetalDefaults = z.strictObject(access);

export const baremetalNode = z.strictObject({
  kind: z.literal("baremetal"),
  ...common,
  /** `PUBLIC:PRIVATE`, IPv6 in brackets, or the two by name. */
  address: z.union(
    [text, z.strictObject({ public: text, private: text })],
    '"PUBLIC:PRIVATE" or { public, private }',
  ),
  ...access,
  hostKey: text.optional(),
});

export type DigitaloceanConfig = z.output<typeof digitalocean>;
export type JumpConfig = z.output<typeof jump>;
export type AccessConfig = z.output<typeof baremetalDefaults>;
