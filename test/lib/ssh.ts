/** @file SSH as tests use it: nothing of this computer's own settings, and only host keys known beforehand. */
import { join } from "node:path";

export interface SshTarget {
  address: string;
  /** @default 22 */
  port?: number;
  /** @default "root" */
  user?: string;
  /** File with the private key; left out where a password is asked for. */
  key?: string;
  /** File with the host keys that are accepted. */
  knownHosts: string;
  /**
   * Folder for the socket of a connection that later commands share: a command then takes milliseconds. Left out,
   * each command makes a connection of its own, as a test of SSH, of a firewall or of a restart needs.
   */
  shared?: string;
  /** More options, by ssh_config's names. */
  options?: Readonly<Record<string, string>>;
}

/** What `ssh` is called with, before the command. */
export function sshArgs(target: SshTarget): string[] {
  const { address, port = 22, user = "root" } = target;
  return [...sshOptions(target), "-p", String(port), `${user}@${address}`];
}

/** The part of it that does not say where to. */
export function sshOptions(target: Omit<SshTarget, "address" | "port" | "user">): string[] {
  const { key, knownHosts, shared } = target;
  const options: Record<string, string> = {
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: knownHosts,
    GlobalKnownHostsFile: "/dev/null",
    ConnectTimeout: "10",
    ServerAliveInterval: "15",
    ...(key === undefined ? {} : { IdentityFile: key, IdentitiesOnly: "yes", BatchMode: "yes" }),
    ...(shared === undefined ? {} : sharing(shared)),
    ...target.options,
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return ["-F", "none", ...flags];
}

const sharing = (folder: string) => ({
  ControlMaster: "auto",
  // Not the name that the program gives its own: a test of that one must not find this connection.
  ControlPath: join(folder, "s-%C"),
  // Longer than a test looks away; whoever made the folder ends it.
  ControlPersist: "900",
});
