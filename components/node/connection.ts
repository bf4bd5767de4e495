import { homedir, userInfo } from "node:os";
import type { types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { known } from "../known";

export type Connection = types.input.remote.ConnectionArgs;

/** A server to sign in to, with a key of the text given, or those of the agent. */
export interface SshServer {
  /** Address that the operator's computer reaches; of a server behind a jump host, the one that that host reaches. */
  address: pulumi.Input<string>;
  port: number;
  user: string;
  /**
   * OpenSSH private key; made secret here whatever comes in. Left out where the agent signs in: its socket has another
   * path after each login of the operator's, so the provider is left to find it in SSH_AUTH_SOCK. A path in the inputs
   * would run every stage again, and the one kept in the state would be gone when the node is taken out of the stack.
   */
  privateKey?: pulumi.Input<string>;
  /** `ssh-ed25519 AAAA…`: the connection is refused when the host shows another key. */
  hostKey: pulumi.Input<string>;
}

export interface SshTarget extends SshServer {
  /** A server that the connection goes through. */
  jump?: SshServer;
}

/**
 * The one place that builds a connection for remote commands. Every field that has a default is set, so
 * that a provider's own defaults never show up as a change, and no other key can slip in: the official
 * provider prints the whole connection, key included, when it meets one it does not know.
 */
export function sshConnection(target: SshTarget): Connection {
  return { ...server(target), ...(target.jump ? { proxy: server(target.jump) } : {}) };
}

function server(of: SshServer): types.input.remote.ProxyConnectionArgs {
  return {
    host: pulumi.output(of.address).apply(known),
    port: of.port,
    user: known(of.user),
    ...(of.privateKey === undefined ? {} : { privateKey: pulumi.secret(of.privateKey) }),
    hostKey: pulumi.output(of.hostKey).apply(known),
    // 11 tries of 5 s and 11 s between them: a host that swallows packets is given up after 66 s. With a preview and
    // what the GPU pools ask before it, an update that meets a silent node ends within 2 minutes.
    dialErrorLimit: 10,
    perDialTimeout: 5,
  };
}

/**
 * A path below the person's home as `~/…`, which ssh expands itself: the same text for every operator of the stack,
 * so that another one's preview shows no change.
 */
export function belowHome(path: string): string {
  const home = `${homedir()}/`;
  // ssh asks the list of accounts, others the environment: where they differ the path stays whole.
  return userInfo().homedir === homedir() && path.startsWith(home) ? `~/${path.slice(home.length)}` : path;
}

/** The `ssh -o` options that a docker.Provider needs to reach the same host with the same checks. */
export function dockerSshOptions(files: {
  operatorKey: string;
  knownHosts: string;
  folder: string;
}): string[] {
  const options: Record<string, string> = {
    IdentitiesOnly: "yes",
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: belowHome(files.knownHosts),
    // Time for three more packets where the first one got lost (RFC 6298: after 1, 3 and 7 s).
    ConnectTimeout: "8",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "3",
    // One connection for all of a provider's requests; the socket's name stays under its 104-byte limit.
    ControlMaster: "auto",
    ControlPath: `${belowHome(files.folder)}/%C`,
    ControlPersist: "10",
  };
  return [
    "-i",
    belowHome(files.operatorKey),
    ...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
  ];
}

/** A line for a known_hosts file; a port other than 22 is written as OpenSSH does. */
export function knownHostsLine(address: string, port: number, hostKey: string): string {
  return `${port === 22 ? address : `[${address}]:${port}`} ${hostKey}\n`;
}
