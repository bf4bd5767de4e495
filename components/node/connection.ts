import type { types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

export type Connection = types.input.remote.ConnectionArgs;

export interface SshTarget {
  /** Address that the operator's computer reaches. */
  address: string;
  port: number;
  user: string;
  /** OpenSSH private key; made secret here whatever comes in. */
  privateKey: pulumi.Input<string>;
  /** `ssh-ed25519 AAAA…`: the connection is refused when the host shows another key. */
  hostKey: pulumi.Input<string>;
}

/**
 * The one place that builds a connection for remote commands. Every field that has a default is set, so
 * that a provider's own defaults never show up as a change, and no other key can slip in: the official
 * provider prints the whole connection, key included, when it meets one it does not know.
 */
export function sshConnection(target: SshTarget): Connection {
  return {
    host: target.address,
    port: target.port,
    user: target.user,
    privateKey: pulumi.secret(target.privateKey),
    hostKey: target.hostKey,
    // 11 tries of 8 s and 11 s between them: a host that swallows packets is given up after 99 s.
    dialErrorLimit: 10,
    perDialTimeout: 8,
  };
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
    UserKnownHostsFile: files.knownHosts,
    ConnectTimeout: "15",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "3",
    // One connection for all of a provider's requests; the socket's name stays under its 104-byte limit.
    ControlMaster: "auto",
    ControlPath: `${files.folder}/%C`,
    ControlPersist: "10",
  };
  return [
    "-i",
    files.operatorKey,
    ...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
  ];
}

/** A line for a known_hosts file; a port other than 22 is written as OpenSSH does. */
export function knownHostsLine(address: string, port: number, hostKey: string): string {
  return `${port === 22 ? address : `[${address}]:${port}`} ${hostKey}\n`;
}
