/**
 * @file The programs that tests call beside what Berth itself needs, and where they are. `npm test` installs them and
 * fails without them; `npm run check` leaves out the tests that need a missing one, and says so.
 */
import { delimiter } from "node:path";
import { which } from "./files.mjs";

/** @typedef {{command: string, package: string, parts: string[], tests: string, optional?: true}} TestTool */

/**
 * `tests`: what is not tested without the program. `optional`: nothing is installed for it, since its package would do
 * more to a computer than bring a program; the tests run where it is.
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
  { command: "curl", package: "curl", parts: ["machines"], tests: "all on machines: who may reach them" },
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
  {
    command: "nginx",
    package: "nginx-light",
    parts: ["process"],
    tests: "who is let through to a workspace's VS Code, Jupyter and TensorBoard",
  },
  {
    command: "python3",
    package: "python3",
    parts: ["unit", "process"],
    tests: "what nodes and images run in Python, whose tests fail",
  },
  {
    command: "zsh",
    package: "zsh",
    parts: ["unit"],
    tests: "completion in zsh",
    optional: true,
  },
  {
    command: "cloud-init",
    package: "cloud-init",
    parts: ["unit"],
    tests: "that cloud-init takes the user data of droplets",
    optional: true,
  },
  {
    command: "systemd-analyze",
    package: "systemd",
    parts: ["unit"],
    tests: "that systemd takes the slices of users",
    optional: true,
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
 * @returns {TestTool[]} those that these parts need
 */
export function toolsOf(parts) {
  return TEST_TOOLS.filter((tool) => tool.parts.some((part) => parts.includes(part)));
}

/**
 * @param {string[]} parts
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {TestTool[]} those that these parts need and this computer lacks
 */
export function missingTools(parts, env = process.env) {
  return toolsOf(parts).filter((tool) => !findTool(tool.command, env));
}

/**
 * What people read of missing programs: a line each, and how those are had that `npm test` installs.
 * @param {TestTool[]} missing
 */
export function tellMissing(missing) {
  const packages = missing.filter((tool) => !tool.optional).map((tool) => tool.package);
  return [
    ...missing.map((tool) => {
      const note = tool.optional ? ` (optional; Debian's package ${tool.package})` : "";
      return `NOT TESTED, for want of ${tool.command}: ${tool.tests}${note}.`;
    }),
    ...(packages.length > 0 ? [`To test it too: sudo apt-get install ${packages.join(" ")}`] : []),
  ].join("\n");
}
