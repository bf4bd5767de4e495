/**
 * @file Step 1: a Node.js new enough for the Pulumi SDK and the packages.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { addToPath, nodeBin, nodePackage } from "./context.mjs";
import { fetchVerified, unpack } from "./download.mjs";
import { newFolder, placeFolder, which } from "./files.mjs";
import { compareVersions, VERSIONS } from "./paths.mjs";
import { ask, CommandError, run } from "./process.mjs";

/**
 * Puts a Node.js >= 24 first on PATH for all that follows.
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<string>} the way taken, for people
 * @throws {Error} when none can be had: says what to install
 */
export async function ensureNode(context) {
  const { at, env, step } = context;
  const onPath = which("node", env);
  const version = onPath && (await ask(onPath, ["--version"], { env }));
  if (onPath && version && compareVersions(version, `${VERSIONS.nodeMajor}.0.0`) >= 0) {
    return `${version} ${dirname(onPath) === nodeBin(at.nodeDir) ? "brought before" : "on PATH"}`;
  }
  const had = await brought(at.nodeDir, env);
  if (had) {
    addToPath(context, had);
    return `v${VERSIONS.node} brought before (PATH has ${version ?? "none"})`;
  }
  step.note(`PATH has ${version ?? "none"}, so bringing v${VERSIONS.node}`);
  // npm has Node.js itself for Linux and Windows at this version, and nodejs.org for all.
  const ways = process.platform === "darwin" ? [fromNodejsOrg, fromNpm] : [fromNpm, fromNodejsOrg];
  /** @type {string[]} */
  const problems = [];
  for (const way of ways) {
    try {
      const from = await way(context);
      const bin = await brought(at.nodeDir, env);
      if (!bin) throw new Error(`what came from ${from} does not run here`);
      addToPath(context, bin);
      return `v${VERSIONS.node} from ${from}`;
    } catch (error) {
      if (!(error instanceof Error) || "exitCode" in error) throw error;
      problems.push(error.message);
    }
  }
  throw new Error(
    `Node.js ${VERSIONS.nodeMajor} or newer is needed; PATH has ${version ?? "none"}, and none could be brought:\n` +
      `${problems.map((problem) => `  - ${problem}`).join("\n")}\n` +
      "Install Node.js 24 (https://nodejs.org, or your package manager), then run `npm start` again.",
  );
}

/**
 * @param {string} folder
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>} the folder with a `node` that runs
 */
async function brought(folder, env) {
  const bin = nodeBin(folder);
  const program = join(bin, process.platform === "win32" ? "node.exe" : "node");
  if (!existsSync(program)) return undefined;
  return (await ask(program, ["--version"], { env })) === `v${VERSIONS.node}` ? bin : undefined;
}

/** @param {import("./context.mjs").Context} context */
async function fromNpm({ at, env, step }) {
  const name = nodePackage();
  const folder = newFolder(at.cache, `node-${VERSIONS.node}`);
  try {
    const args = ["install", "--prefix", folder, "--no-save", "--no-package-lock", "--ignore-scripts"];
    args.push("--no-audit", "--no-fund", `${name}@${VERSIONS.node}`);
    await run("npm", args, { env, cwd: folder, onLine: step.line, deadlineMs: 600_000 });
    placeFolder(folder, at.nodeDir);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (error instanceof CommandError) throw new Error(`npm package ${name}: ${error.message}`);
    throw error;
  }
  return `npm package ${name}`;
}

/** @param {import("./context.mjs").Context} context */
async function fromNodejsOrg(context) {
  const { at } = context;
  const windows = process.platform === "win32";
  const base = `node-v${VERSIONS.node}-${windows ? "win" : process.platform}-${process.arch}`;
  const archive = `${base}.${windows ? "zip" : "tar.gz"}`;
  const folder = newFolder(at.cache, `node-${VERSIONS.node}`);
  try {
    const file = join(folder, archive);
    const site = `https://nodejs.org/dist/v${VERSIONS.node}`;
    await fetchVerified(context, [`${site}/${archive}`], [`${site}/SHASUMS256.txt`], file);
    const inside = join(folder, "node_modules", nodePackage());
    await unpack(context, file, inside);
    rmSync(file);
    placeFolder(folder, at.nodeDir);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return "nodejs.org";
}

/** The npm that belongs to the `node` on PATH, or the first npm there. */
export function npmProgram(/** @type {NodeJS.ProcessEnv} */ env) {
  const node = which("node", env);
  const beside = node && join(dirname(node), process.platform === "win32" ? "npm.cmd" : "npm");
  return beside && existsSync(beside) ? beside : "npm";
}
