/**
 * @file Step 2: the npm packages of package-lock.json, with a mark that says they are whole.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readJson } from "./files.mjs";
import { npmProgram } from "./node.mjs";
import { ROOT } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";

/**
 * Makes node_modules what package-lock.json says.
 * @param {import("./context.mjs").Context} context
 * @param {string} [root]
 * @returns {Promise<string>} the way taken
 */
export async function ensurePackages({ env, step }, root = ROOT) {
  const mark = join(root, "node_modules/.berth-lock");
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(mark) && readFileSync(mark, "utf8").trim() === wanted)
    return "as in package-lock.json already";
  const lock = readJson(join(root, "package-lock.json"));
  const installed = readJson(join(root, "node_modules/.package-lock.json"));
  if (!existsSync(mark) && installed && sameTree(lock, installed)) {
    writeFileSync(mark, `${wanted}\n`);
    return "installed by npm already";
  }
  // The mark goes first and comes back last: a killed `npm ci` leaves none, and is begun anew.
  rmSync(mark, { force: true });
  step.note("npm ci");
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=http"];
  /** @type {string[]} npm says first what is wrong, then prints its help */
  const errors = [];
  const onLine = (/** @type {string} */ line) => {
    if (line.startsWith("npm error") && errors.length < 12) errors.push(line);
    step.line(line);
  };
  try {
    // At SIGINT npm first ends all its transfers; at SIGTERM it ends. What is half done is begun anew either way.
    const options = {
      env,
      cwd: root,
      onLine,
      deadlineMs: 1_200_000,
      interruptWith: /** @type {const} */ ("SIGTERM"),
    };
    await run(npmProgram(env), args, options);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new Error(`${error.message}\n${(errors.length > 0 ? errors : error.output.slice(-12)).join("\n")}`);
  }
  writeFileSync(mark, `${wanted}\n`);
  return "npm ci";
}

/**
 * Whether npm's own record of what it installed (written when an install is whole) is what the lock file asks for.
 * @param {any} lock package-lock.json
 * @param {any} installed node_modules/.package-lock.json
 */
export function sameTree(lock, installed) {
  const wanted = Object.entries(lock?.packages ?? {}).filter(([path]) => path.startsWith("node_modules/"));
  const have = installed?.packages ?? {};
  if (wanted.length === 0) return false;
  for (const [path, entry] of wanted) {
    const found = have[path];
    if (!found && !entry.optional && !entry.devOptional && !entry.peer) return false;
    if (found && (found.version !== entry.version || found.integrity !== entry.integrity)) return false;
  }
  const known = new Set(Object.keys(lock.packages));
  return Object.keys(have).every((path) => known.has(path));
}
