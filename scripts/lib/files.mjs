/**
 * @file Files that are either whole or not there, and questions about processes on this computer.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";

/**
 * Writes a file under a temporary name beside it, flushes it to disk, then renames it.
 * @param {string} path
 * @param {string | Uint8Array} content
 * @param {number} [mode] default 0600
 */
export function writeWhole(path, content, mode = 0o600) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, "wx", mode);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/**
 * Writes a small file whole, unless it is there: of two at once, one makes it.
 * @param {string} path
 * @param {string} content
 * @param {number} [mode] default 0600
 * @returns {boolean} whether it was made
 */
export function createWhole(path, content, mode) {
  const mine = `${path}.${process.pid}`;
  writeWhole(mine, content, mode);
  try {
    linkSync(mine, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * A new empty folder in `parent`, to be filled and then renamed to its place by `placeFolder`.
 * @param {string} parent
 * @param {string} name
 */
export function newFolder(parent, name) {
  sweep(parent, name);
  const path = join(parent, `.${name}.${process.pid}.${randomBytes(3).toString("hex")}.tmp`);
  mkdirSync(path, { recursive: true });
  return path;
}

/**
 * Moves a finished folder to its place; what was there before goes.
 * @param {string} from
 * @param {string} to
 */
export function placeFolder(from, to) {
  if (existsSync(to)) {
    const old = `${from}.old`;
    renameSync(to, old);
    renameSync(from, to);
    rmSync(old, { recursive: true, force: true });
  } else {
    renameSync(from, to);
  }
}

/**
 * Removes what a killed run left half made in `parent` under `name`.
 * @param {string} parent
 * @param {string} name
 */
function sweep(parent, name) {
  if (!existsSync(parent)) return;
  for (const entry of readdirSync(parent)) {
    const match = entry.startsWith(`.${name}.`) ? /\.(\d+)\.[0-9a-f]{6}\.tmp(\.old)?$/.exec(entry) : null;
    if (match && !processAlive(Number(match[1])))
      rmSync(join(parent, entry), { recursive: true, force: true });
  }
}

/**
 * @param {string} path
 * @returns {any} the JSON in it; undefined when it is missing or no JSON
 */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Where a program is, as a shell would find it.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined}
 */
export function which(name, env = process.env) {
  const endings = process.platform === "win32" ? [".exe", ".cmd", ".bat", ""] : [""];
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    for (const ending of endings) {
      const path = join(folder || ".", name + ending);
      try {
        const found = statSync(path);
        if (found.isFile() && (process.platform === "win32" || (found.mode & 0o111) !== 0)) return path;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

/**
 * @param {number} pid
 * @returns {boolean} whether a process of this number lives (a zombie does not)
 */
export function processAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
  return !/^\d+ \(.*\) [ZX] /s.test(readOr(`/proc/${pid}/stat`, ""));
}

/**
 * What tells one process from a later one with the same number: when it began, in clock ticks since boot, with the
 * boot's id. Empty where the system does not say (not Linux).
 * @param {number} pid
 */
export function processIdentity(pid) {
  const stat = readOr(`/proc/${pid}/stat`, "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Field 22 of /proc/PID/stat (starttime); the name and what stands before it are cut off above.
  const start = fields[19];
  return start ? `${readOr("/proc/sys/kernel/random/boot_id", "").trim()}/${start}` : "";
}

/** @typedef {{pid: number, identity: string}} Known a process that is told apart from a later one of the same number */

/**
 * @param {number} pid
 * @returns {Known}
 */
export const known = (pid) => ({ pid, identity: processIdentity(pid) });

/** @param {Known} process */
export const lives = ({ pid, identity }) => processAlive(pid) && processIdentity(pid) === identity;

/**
 * @param {number} pid
 * @returns {number} its parent's number; 0 where the system does not say
 */
export function parentOf(pid) {
  return Number(/^PPid:\s*(\d+)/m.exec(readOr(`/proc/${pid}/status`, ""))?.[1] ?? 0);
}

/**
 * @param {number} pid
 * @returns {string} the command line, words separated by blanks; empty where the system does not say
 */
export function processCommand(pid) {
  return readOr(`/proc/${pid}/cmdline`, "").replaceAll("\0", " ").trim();
}

/**
 * @param {string} path
 * @param {string} otherwise
 */
function readOr(path, otherwise) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}
