import { z } from "zod";
import { nodeGpus } from "../gpu/schema";
import { fabric } from "../network/schema";
import { nodeRay } from "../ray/schema";
import { runtime } from "../runtime/schema";
import { storage } from "../storage/schema";
import { cpus, port, size, text } from "../values";

/** Shape of the nodes: what all have in common, local ones, and machines that somebody has. Checked in check.ts. */

export const commonNode = {
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

export const localNode = z.strictObject({ kind: z.literal("local"), ...commonNode, address: text });

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
  ...commonNode,
  /** `PUBLIC:PRIVATE`, IPv6 in brackets, or the two by name. */
  address: z.union(
    [text, z.strictObject({ public: text, private: text })],
    '"PUBLIC:PRIVATE" or { public, private }',
  ),
  ...access,
  hostKey: text.optional(),
});

export type AccessConfig = z.output<typeof baremetalDefaults>;
