/**
 * @file Debian and Ubuntu packages, where this process is root.
 */
import { readdirSync, readFileSync } from "node:fs";
import { which } from "./files.mjs";
import { ask, CommandError, run } from "./process.mjs";

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {boolean} whether packages can be installed from here
 */
export function canInstall(env) {
  return process.getuid?.() === 0 && which("apt-get", env) !== undefined;
}

/** @returns {string} the system's name, such as "Debian GNU/Linux 12 (bookworm)" */
export function systemName() {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}

/**
 * Installs packages that the system's sources offer; names that they do not know are left out when `optional`.
 * @param {{env: NodeJS.ProcessEnv, step: Pick<import("./ui.mjs").Step, "note" | "line">}} context
 * @param {string[]} packages
 * @param {string[]} [optional]
 */
export async function install({ env: outer, step }, packages, optional = []) {
  const env = { ...outer, DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_MODE: "l" };
  const options = { env, onLine: step.line, deadlineMs: 900_000 };
  // A killed apt-get leaves packages half configured, and refuses all else until this is done.
  if (await ask("dpkg", ["--audit"], { env })) await run("dpkg", ["--configure", "-a"], options);
  const apt = (/** @type {string[]} */ ...args) =>
    run("apt-get", ["-y", "-o", "DPkg::Lock::Timeout=180", "-o", "Acquire::Retries=3", ...args], options);
  if (!hasLists()) await apt("update");
  /** @type {string[]} */
  const offered = [];
  for (const name of optional) {
    const candidate = /^ {2}Candidate: (.+)$/m.exec(
      (await ask("apt-cache", ["policy", name], { env })) ?? "",
    )?.[1];
    if (candidate && candidate !== "(none)") offered.push(name);
  }
  step.note(`apt-get install ${[...packages, ...offered].join(" ")}`);
  const install = () => apt("install", "--no-install-recommends", ...packages, ...offered);
  try {
    await install();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    step.note("once more, with fresh package lists");
    await apt("update");
    await install();
  }
}

function hasLists() {
  try {
    return readdirSync("/var/lib/apt/lists").some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}
