/**
 * @file Debian made from its packages by mmdebstrap, which is installed where it is missing and this account may.
 */
import { existsSync } from "node:fs";
import { canInstall, install } from "../lib/apt.mjs";
import { which } from "../lib/files.mjs";
import { run } from "../lib/process.mjs";

/**
 * @typedef {object} System
 * @property {string} suite such as "trixie"
 * @property {string[]} include packages beside those that a system cannot do without
 * @property {string[]} [dpkg] options of dpkg, such as "path-exclude=/usr/share/man/*"
 * @property {string[]} [customize] shell commands that end the making, with the tree in $1
 */

/**
 * Makes a system. Its packages come from Debian's own mirrors, or from BERTH_APT_MIRROR, such as
 * http://mirror.example/debian, whose security updates lie at the same address with "-security" behind it; that one
 * never stays in the system.
 * @param {System} system
 * @param {string} target a tar, by its ending, or a new folder
 * @param {{say: (text: string) => void, deadlineMs: number, what: string, instead?: string}} how `what`: what it is
 *   for, and `instead`: how to do without, both for the error
 * @throws {Error} when mmdebstrap is missing and cannot be installed: says what to install
 */
export async function mmdebstrap({ suite, include, dpkg = [], customize = [] }, target, how) {
  await ensureMmdebstrap(how);
  const list = '"$1"/etc/apt/sources.list';
  const own = '"$1"/etc/apt/sources.own';
  const lines = mirrorLines(suite, process.env.BERTH_APT_MIRROR);
  // mmdebstrap writes Debian's own sources; an operator's mirror takes their place while it runs, never in the image.
  const hooks =
    lines.length > 0
      ? [
          `--setup-hook=mv ${list} ${own}; printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > ${list}`,
          `--customize-hook=mv ${own} ${list}`,
        ]
      : [];
  await run(
    "mmdebstrap",
    [
      "--variant=minbase",
      `--include=${include.join(",")}`,
      '--aptopt=Acquire::Retries "5"',
      ...dpkg.map((option) => `--dpkgopt=${option}`),
      ...hooks,
      `--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap; chmod 0644 ${list}`,
      ...customize.map((command) => `--customize-hook=${command}`),
      suite,
      target,
    ],
    {
      deadlineMs: how.deadlineMs,
      onLine: (line) => /^I: /.test(line) && how.say(`mmdebstrap: ${line.slice(3)}`),
    },
  );
}

/**
 * @param {string} suite
 * @param {string | undefined} mirror
 * @returns {string[]} apt's source lines
 */
function mirrorLines(suite, mirror) {
  if (!mirror) return [];
  const at = mirror.replace(/\/$/, "");
  return [
    `deb ${at} ${suite} main`,
    `deb ${at} ${suite}-updates main`,
    `deb ${at}-security ${suite}-security main`,
  ];
}

/** @param {{say: (text: string) => void, what: string, instead?: string}} how */
async function ensureMmdebstrap({ say, what, instead = "" }) {
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  if (which("mmdebstrap") && existsSync(keyring)) return;
  if (!canInstall(process.env)) {
    throw new Error(
      `${what}, and mmdebstrap with debian-archive-keyring is not installed. Install both (as root: apt-get install mmdebstrap debian-archive-keyring)${instead}, then run the same command again.`,
    );
  }
  await install({ env: process.env, step: { note: say, line: () => {} } }, [
    "mmdebstrap",
    "debian-archive-keyring",
  ]);
}
