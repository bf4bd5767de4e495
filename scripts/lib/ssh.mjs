/**
 * @file How the scripts sign in to a node: with the stack's own key, and only to the host key known in advance.
 */
import { join } from "node:path";

/**
 * @param {string} folder the stack's folder (`id_ed25519`, `known_hosts`)
 * @param {string} address
 * @param {{connectSeconds?: number}} [options]
 * @returns {string[]} what goes before the remote command
 */
export function sshArgs(folder, address, { connectSeconds = 4 } = {}) {
  return [
    "-i",
    join(folder, "id_ed25519"),
    ...["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"],
    ...[
      "-o",
      `UserKnownHostsFile="${join(folder, "known_hosts")}"`,
      "-o",
      `ConnectTimeout=${connectSeconds}`,
    ],
    ...["-o", "LogLevel=ERROR", "--", `root@${address}`],
  ];
}
