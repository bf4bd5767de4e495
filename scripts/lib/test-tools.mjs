/**
 * @file The programs that tests call beside what Berth itself needs, and where they are. `npm test` installs them and
 * fails without them; `npm run check` leaves out the tests that need a missing one, and says so.
 */
import { delimiter } from "node:path";
import { which } from "./files.mjs";

/** @typedef {{command: string, package: string, parts: string[], tests: string}} TestTool */

/**
 * `tests`: what is not tested without the program.
 * @type {TestTool[]}
 */
export const TEST_TOOLS = [
  {
    command: "chromium",
    package: "chromium",
    parts: ["nodes", "stacks", "last"],
    tests: "the desktop in a browser",
  },
  {
    command: "sshpass",
    package: "sshpass",
    parts: ["nodes", "stacks", "last"],
    tests: "SSH with a password",
  },
  { command: "mkfs.xfs", package: "xfsprogs", parts: ["nodes", "stacks", "last"], tests: "storage on XFS" },
  { command: "sfdisk", package: "fdisk", parts: ["nodes", "stacks", "last"], tests: "storage on partitions" },
  { command: "setquota", package: "quota", parts: ["nodes", "stacks", "last"], tests: "quotas" },
  {
    command: "shellcheck",
    package: "shellcheck",
    parts: ["unit", "process"],
    tests: "that shellcheck finds nothing in the scripts of nodes, images and workflows",
  },
  {
    command: "sshd",
    package: "openssh-server",
    parts: ["unit", "process", "engine"],
    tests: "remote commands, copied files and jump hosts against a real SSH server",
  },
  {
    command: "qemu-system-x86_64",
    package: "qemu-system-x86",
    parts: ["machines"],
    tests: "all that needs a whole machine with its own kernel",
  },
  { command: "qemu-img", package: "qemu-utils", parts: ["machines"], tests: "all on machines: their disks" },
  { command: "mke2fs", package: "e2fsprogs", parts: ["machines"], tests: "all on machines: their disks" },
  { command: "ip", package: "iproute2", parts: ["machines"], tests: "all on machines: their network" },
  {
    command: "setpriv",
    package: "util-linux",
    parts: ["machines"],
    tests: "all on machines: their end with the tests'",
  },
  {
    command: "ssh-keygen",
    package: "openssh-client",
    parts: ["unit", "process", "engine", "machines"],
    tests: "that OpenSSH reads the derived keys, keys with a passphrase, and all that needs sshd",
  },
];

/** Where sshd and programs for file systems are, which is not on every account's PATH. */
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * @param {string} command
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined} its path
 */
export function findTool(command, env = process.env) {
  return which(command, env) ?? which(command, { PATH: SYSTEM_FOLDERS.join(delimiter) });
}

/**
 * @param {string[]} parts
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {TestTool[]} those that these parts need and this computer lacks
 */
export function missingTools(parts, env = process.env) {
  return TEST_TOOLS.filter(
    (tool) => tool.parts.some((part) => parts.includes(part)) && !findTool(tool.command, env),
  );
}

/**
 * What people read of missing programs, a line each.
 * @param {TestTool[]} missing
 */
export function tellMissing(missing) {
  return [
    ...missing.map((tool) => `NOT TESTED, for want of ${tool.command}: ${tool.tests}.`),
    `To test it too: sudo apt-get install ${missing.map((tool) => tool.package).join(" ")}`,
  ].join("\n");
}
