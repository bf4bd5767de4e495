import { join } from "node:path";

/** Every place on a node that berthd and `berth` read or write. */
export interface AgentPaths {
  /** What all of them are under: `/` on a node. */
  root: string;
  /** What the stack says of the node. */
  nodeFile: string;
  /** The limits document. */
  limitsFile: string;
  /** The declared inventory; absent where nvidia-smi answers. */
  gpusFile: string;
  configFolder: string;
  /** Locked while the GPUs are divided anew. */
  migLock: string;
  stateFolder: string;
  ledger: string;
  lockFile: string;
  pidFile: string;
  limitsLastGood: string;
  events: string;
  runFolder: string;
  socket: string;
  /** Holds one folder per user, each with that user's socket. */
  usersFolder: string;
  /** What containers of back-ends print. */
  containerLogs: string;
  /** Packages of back-ends' projects, and what containers have of them; on the disk that Docker's containers mount it from. */
  packages: string;
  /** The cache of repositories, in a folder that git's own account may pass through. All of it can be fetched again. */
  repositories: string;
}

/**
 * The paths under `root`, which is `BERTH_AGENT_ROOT` (tests move all of them at once) or `/`.
 * The only place that reads that variable.
 */
export function agentPaths(root: string = process.env.BERTH_AGENT_ROOT || "/"): AgentPaths {
  const configFolder = join(root, "etc/berth/agent");
  const stateFolder = join(root, "var/lib/berth/agent");
  const runFolder = join(root, "run/berth");
  return {
    root,
    configFolder,
    migLock: join(root, "etc/berth/mig.lock"),
    nodeFile: join(configFolder, "node.json"),
    limitsFile: join(configFolder, "limits.json"),
    gpusFile: join(configFolder, "gpus.json"),
    stateFolder,
    ledger: join(stateFolder, "ledger.db"),
    lockFile: join(stateFolder, "berthd.lock"),
    pidFile: join(stateFolder, "berthd.pid"),
    limitsLastGood: join(stateFolder, "limits.last-good.json"),
    events: join(root, "var/log/berth/events.jsonl"),
    runFolder,
    socket: join(runFolder, "berthd.sock"),
    usersFolder: join(runFolder, "users"),
    containerLogs: join(stateFolder, "container-logs"),
    packages: join(root, "var/lib/berth/packages"),
    repositories: join(root, "var/cache/berth/repositories"),
  };
}

/** The socket of one user, whose folder is mounted into that user's workspace. */
export function userSocket(paths: AgentPaths, user: string): string {
  return join(paths.usersFolder, user, "berth.sock");
}
