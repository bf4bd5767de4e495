/** What the agent stage is told. Pure. */
import type { ManagerDocument } from "../manager";

/** `node.json`: what berthd knows of its node from the stack. Read by agent/src/config.ts. */
export interface NodeDocument {
  stack: string;
  node: string;
  strategy: "least-allocated" | "pack" | "spread";
  allocation: "exclusive" | "shared";
  /** Of a share. @default 0, no limit */
  memoryLimitMiB?: number;
  /** Who may ask on this node. `uid`: of the workspace's processes, which use that user's socket. */
  users: { name: string; uid?: number; group?: string }[];
  /** Back-ends that have containers of their own; `tokenHash`: SHA-256 of the token that the stack gives them. */
  tenants?: { name: string; tokenHash?: string }[];
  /** Containers that back-ends ask for. @default the node has no container manager */
  manager?: ManagerDocument;
  /** Of these, or of all, that the node serves no more, all that they had is removed. @default what they had stays */
  purgeTenants?: true | string[];
  /** The API over TCP. */
  listen: "loopback" | "private" | "off";
  port: number;
  /** For `listen: private`. */
  privateAddress?: string;
  /** Host ports that containers of POST /api/containers may be published on. @default 20000 to 29999 */
  ports?: { containers: { start: number; end: number } };
  /** Images, by id or digest, of which people may make containers beside those of the stack on this node. @default none */
  images?: string[];
}

export interface AgentDocuments {
  node: NodeDocument;
  /** A limits document, as core/limits reads it. */
  limits: object;
  /** The declared inventory, as core/gpu reads it; left out where nvidia-smi tells what there is. */
  gpus?: object;
}

export interface AgentOptions {
  /** `HOST:PORT/berth/agent@sha256:…`: the image that carries the program. */
  image: string;
  /** People with a socket of their own, each in a folder that their workspace mounts. */
  users: readonly string[];
}

/** Where things are on a node. berthd's own knowledge of them is agent/src/paths.ts. */
export const AGENT = {
  /** A folder for each version, and the link `current`. Workspaces see it under the same name. */
  programs: "/usr/local/lib/berth/agent",
  /** The command, as the version that runs has it. */
  berth: "/usr/local/bin/berth",
  config: "/etc/berth/agent",
  state: "/var/lib/berth/agent",
  /** One folder a user, with that user's socket. */
  sockets: "/run/berth/users",
  socket: "/run/berth/berthd.sock",
  /** While it is locked berthd grants nothing. The node's program for MIG layouts has it too. */
  lock: "/etc/berth/mig.lock",
  unit: "/etc/systemd/system/berthd.service",
  folders: "/etc/tmpfiles.d/berth-agent.conf",
  /** In a workspace: the user's folder of `sockets`. */
  inWorkspace: "/run/berthd",
} as const;

/** Links on a node, to what they mean in the version that runs. The workspace image has those of `berth` too. */
export const LINKS: Readonly<Record<string, string>> = {
  "/usr/local/bin/berth": "bin/berth",
  "/usr/local/bin/berthd": "bin/berthd",
  "/usr/local/share/bash-completion/completions/berth": "completion/berth.bash",
  "/usr/local/share/zsh/site-functions/_berth": "completion/_berth",
};
