import { hasRay, type LocatedPlan, type UserPlan } from "../../config";
import { rayAddresses } from "../ray/plan";
import {
  authorizedKeys,
  rayToken,
  type UserCredentials,
  userCredentials,
  workspaceHostKey,
} from "../secrets";
import { arePublished, reach } from "./reach";

/**
 * What a workspace finds under /run/berth (a read-only mount of the node's
 * `/var/lib/berth/workspaces/<user>`): who it belongs to, how to sign in, where Ray is. Pure.
 */

export interface WorkspaceFiles {
  "workspace.json": string;
  "secrets.json": string;
  authorized_keys: string;
  ssh_host_ed25519_key: string;
}

/** `secrets.json`: only what the container itself has to know. */
export interface WorkspaceSecrets extends Omit<UserCredentials, "sshPrivateKey"> {
  rayToken?: string;
}

/**
 * What the container may know that is no secret: `workspace.json`. Of `web`, `hosts` are the names that its services
 * answer to, and the rest is for people who sign in.
 */
export function workspaceFacts(plan: LocatedPlan, user: UserPlan, host: string): object {
  const { block: _block, ...ports } = user.ports;
  const { cpus, memoryBytes, shmBytes, pids } = user.resources;
  return {
    user: user.name,
    uid: user.uid,
    gid: user.uid,
    hostname: user.name,
    sudo: user.sudo,
    ports,
    web: { published: arePublished(plan), ...reach(plan, user, host) },
    node: user.node,
    resources: { cpus, memoryBytes, shmBytes, pids },
    ...(hasRay(plan, user.name) ? { ray: rayAddresses(plan) } : {}),
  };
}

/**
 * All four files, from the stack's seed.
 * @param host the node's address that the workspace's ports are published on.
 * @param rayGeneration of Ray's token.
 */
export function workspaceFiles(
  plan: LocatedPlan,
  user: UserPlan,
  host: string,
  seed: string,
  rayGeneration: string,
  ownPassword?: string,
): WorkspaceFiles {
  const { sshPrivateKey: _key, ...credentials } = userCredentials(seed, user, ownPassword);
  const secrets: WorkspaceSecrets = {
    ...credentials,
    ...(hasRay(plan, user.name) ? { rayToken: rayToken(seed, rayGeneration) } : {}),
  };
  return {
    "workspace.json": `${JSON.stringify(workspaceFacts(plan, user, host), null, 2)}\n`,
    "secrets.json": `${JSON.stringify(secrets)}\n`,
    authorized_keys: authorizedKeys(seed, user)
      .map((key) => `${key}\n`)
      .join(""),
    ssh_host_ed25519_key: workspaceHostKey(seed, user.name).privateKey,
  };
}

/** Directories of a user on a node, by what they hold. */
export function userFolders(user: Pick<UserPlan, "name">) {
  return {
    home: `/mnt/storage/homes/${user.name}`,
    workspace: `/mnt/storage/workspaces/${user.name}`,
    shared: "/mnt/storage/shared",
    tensorboard: `/mnt/storage/shared/tensorboard/${user.name}`,
    state: `/mnt/storage/docker-volumes/${user.name}-state`,
    berth: `/var/lib/berth/workspaces/${user.name}`,
  };
}
