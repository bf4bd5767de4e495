import { z } from "zod";
import { userGpu } from "../gpu/schema";
import { quota } from "../storage/schema";
import { cpus, publicKey, size, text } from "../values";

/** Shape of the people of the stack, and of what their workspaces have in common. Checked in check.ts. */

/** `https://…`, `ssh://…`, `git@HOST:PATH`, `file:///…` or an absolute path. A password or token in it is refused. */
const gitUrl = text;

/** `~/…` (the user's home) or an absolute path inside the workspace. */
const workspacePath = text;

const repository = z.strictObject({
  url: gitUrl,
  /** `~/workspace/NAME` when left out; NAME is the last part of the URL, without `.git`. */
  path: workspacePath.optional(),
  /** Counts at the first clone only. The repository's own default branch when left out. */
  branch: text.optional(),
});

const python = z.strictObject({
  /** Such as `3.13`; the image's Python when left out. Where the venv has another version, the set-up stops and leaves it. */
  version: text.optional(),
  /** `~/venv` when left out. */
  venv: workspacePath.optional(),
  /** Requirements as pip takes them, such as `torch==2.9.*`. */
  packages: z.array(text).optional(),
  /** A requirements file, such as `~/workspace/project/requirements.txt`. Repositories are cloned before it is read. */
  requirements: workspacePath.optional(),
});

const service = z.strictObject({
  /** Name of the tmux session, such as `server`: `tmux attach -t server`. */
  name: text,
  /** One line for `bash -c`, run by a login shell with `~/.env` loaded. */
  command: text,
  /** `~` when left out. */
  cwd: workspacePath.optional(),
});

const setup = z.strictObject({
  /** Environment variables by name, written to a block of their own in `~/.env`, whose mode is 0600. The values are secrets. */
  credentials: z.record(z.string(), z.string()).optional(),
  /** Debian packages. They live in the container; after a container was replaced they are installed again. */
  aptPackages: z.array(text).optional(),
  /**
   * Dotfiles for chezmoi. A file that the user has edited since stays as it is. Before a file of the user's own is replaced for
   * the first time, it is copied to `~/.local/state/berth/dotfiles-before`.
   */
  dotfiles: z.strictObject({ repository: gitUrl, branch: text.optional() }).optional(),
  /** Defaults for git in the whole container. The user's own `~/.gitconfig` wins. */
  git: z
    .strictObject({
      name: text.optional(),
      email: text.optional(),
      /** By key, such as `pull.rebase`. */
      config: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  /** Cloned where they are missing. A clone that is there is never fetched, switched or reset. */
  repositories: z.array(repository).optional(),
  python: python.optional(),
  /** Run in tmux sessions. Each starts where it is missing, and at each start of the container; it restarts when it changes here. */
  services: z.array(service).optional(),
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
