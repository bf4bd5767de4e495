import { z } from "zod";
import { userGpu } from "../gpu/schema";
import { quota } from "../storage/schema";
import { cpus, publicKey, size, text } from "../values";

/** Shape of the people of the stack, and of what their workspaces have in common. Checked in check.ts. */

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

const resources = {
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

export const user = z.strictObject({
  name: text,
  node: text,
  index: z.int().min(0),
  state: z.enum(["running", "stopped", "removed"]).default("running"),
  purge: z.boolean().default(false),
  keys: z.array(publicKey).default([]),
  sudo: z.boolean().default(true),
  password: z.string().min(12).max(128).optional(),
  credentialsVersion: z.int().min(1).default(1),
  ...resources,
  /** Room in the user's home; the stack's `storage.quota.home` when left out. */
  quota: quota.optional(),
  /** A group of `berth:limits`. */
  group: text.optional(),
  /** What the workspace asks of its node's GPUs; none when left out. */
  gpu: userGpu.optional(),
  setup: setup.optional(),
});

export const workspaces = z
  .strictObject({
    ...resources,
    /** The address of each node that workspaces' ports are published on; "private" when left out. */
    address: z.enum(["private", "public"]).optional(),
    /** Where VS Code, JupyterLab and TensorBoard listen; "loopback" when left out. */
    services: z.enum(["loopback", "published-insecure"]).optional(),
  })
  .default({});
