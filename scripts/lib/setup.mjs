/**
 * @file The steps that bring everything Berth needs to this computer. Each is cheap when there is nothing to do.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { prependPath, readRecord, writeRecord } from "./context.mjs";
import { ensureEngine } from "./docker.mjs";
import { ensureNode } from "./node.mjs";
import { ensurePackages } from "./npm.mjs";
import { DEFAULT_STACK, PROJECT, places, ROOT } from "./paths.mjs";
import { run } from "./process.mjs";
import { ensureProviderPlugins } from "./provider-plugins.mjs";
import { ensurePulumi } from "./pulumi-cli.mjs";
import { ensureHome, ownBackend, pulumiVariables } from "./pulumi-env.mjs";
import { requireRoom } from "./room.mjs";
import { withCleanStackFile } from "./stack-file.mjs";
import { runStep, told } from "./ui.mjs";

/** How many steps `setUp` shows. */
export const SETUP_STEPS = 5;

/**
 * Room needed when nothing is there yet, measured on Debian 12: npm packages 0.4 GB; tools 1 GB (4 GB more while the
 * Pulumi CLI is built, asked for then); images and nodes in the engine's folder: each image is there once for the
 * engine, once in the registry, and on each node that runs it.
 */
const ROOM = { packages: 0.6e9, tools: 1e9, engineFirst: 16e9, engineLater: 2e9 };

/**
 * Runs one step, with the context in which it is the running one.
 * @template T
 * @param {import("./context.mjs").Context} context
 * @param {string} title
 * @param {(context: import("./context.mjs").Context) => Promise<{way: string, value: T}>} work
 * @returns {Promise<T>}
 */
export const inStep = (context, title, work) =>
  runStep(context.ui, title, (step) => {
    context.step = step;
    return work(context);
  });

/**
 * A context to begin with: the environment with what an earlier run brought.
 * @param {import("./ui.mjs").Ui} ui
 * @returns {import("./context.mjs").Context}
 */
export function newContext(ui) {
  const at = places();
  const found = readRecord(at);
  found.path = found.path.filter((folder) => existsSync(folder));
  const env = { ...process.env, ...pulumiVariables(process.env, at) };
  prependPath(env, found.path);
  return { at, env, ui, found, step: { note: () => {}, line: () => {}, done: () => {}, failed: () => {} } };
}

/**
 * Node.js and the npm packages.
 * @param {import("./context.mjs").Context} context
 * @param {{engine?: boolean}} [more] `engine`: the rest comes too, so ask for its room before anything is brought
 */
export async function ensureNodeAndPackages(context, { engine = false } = {}) {
  const { at, found } = context;
  await inStep(context, "Node.js", async () => {
    // What an earlier run put on PATH must not hide that the user's own is new enough by now.
    const way = await ensureNode(context);
    writeRecord(at, found);
    return told(way);
  });
  await inStep(context, "npm packages", async () => {
    const needs = [];
    if (!existsSync(join(ROOT, "node_modules")))
      needs.push({ path: ROOT, bytes: ROOM.packages, why: "for the npm packages" });
    if (engine && !existsSync(at.pulumiDir))
      needs.push({ path: at.cache, bytes: ROOM.tools, why: "for the tools" });
    if (engine && process.platform === "linux" && !context.env.DOCKER_HOST) {
      needs.push({ path: "/var/lib/docker", bytes: engineRoom(at), why: "for images and nodes" });
    }
    requireRoom(needs);
    return told(await ensurePackages(context));
  });
}

/**
 * Node.js, npm packages, a container engine, the Pulumi CLI and its plugins.
 * @param {import("./context.mjs").Context} context
 */
export async function setUp(context) {
  const { at, found } = context;
  await ensureNodeAndPackages(context, { engine: true });
  await inStep(context, "Container engine", async () => {
    const { way, root } = await ensureEngine(context);
    writeRecord(at, found);
    const here = !/^(tcp|ssh):/.test(context.env.DOCKER_HOST ?? "") && existsSync(root);
    if (here) requireRoom([{ path: root, bytes: engineRoom(at), why: "for images and nodes" }]);
    return told(way);
  });
  await ensurePulumiAndPlugins(context);
}

/**
 * The Pulumi CLI and its plugins.
 * @param {import("./context.mjs").Context} context
 */
export async function ensurePulumiAndPlugins(context) {
  const { at, found } = context;
  await inStep(context, "Pulumi CLI", async () => {
    const way = await ensurePulumi(context);
    writeRecord(at, found);
    return told(way);
  });
  await inStep(context, "Provider plugins", async () => {
    mkdirSync(at.pulumiHome, { recursive: true });
    return told(await ensureProviderPlugins(context));
  });
}

/** @param {import("./paths.mjs").Places} at */
function engineRoom(at) {
  return existsSync(join(at.state, ".pulumi/stacks", PROJECT)) ? ROOM.engineLater : ROOM.engineFirst;
}

/**
 * @param {{env: NodeJS.ProcessEnv, cwd: string}} where
 * @param {string} stack
 * @returns {Promise<boolean>} whether the backend has it
 */
export async function stackExists({ env, cwd }, stack) {
  const { stdout } = await run("pulumi", ["stack", "ls", "--json"], { env, cwd, deadlineMs: 120_000 });
  return JSON.parse(stdout).some((/** @type {{name: string}} */ one) => one.name.split("/").pop() === stack);
}

/**
 * The backend, and the stack in it.
 * @param {Pick<import("./context.mjs").Context, "at" | "env">} context
 * @param {string} stack
 * @param {string} [cwd]
 * @returns {Promise<string>} the way taken
 */
export async function ensureStack({ at, env }, stack, cwd = ROOT) {
  const own = ownBackend(env, at);
  const made = ensureHome(at, env);
  if (own && existsSync(join(at.state, ".pulumi/stacks", PROJECT, `${stack}.json`))) {
    return `stack ${stack} in ${at.state}, there before`;
  }
  const options = { env, cwd, deadlineMs: 120_000 };
  if (!own && (await stackExists(options, stack))) return `stack ${stack} in your own backend`;
  // The default stack is also chosen for plain `pulumi` commands; another one only when the user does so.
  const args = ["stack", "init", stack, ...(stack === DEFAULT_STACK ? [] : ["--no-select"])];
  const init = () => run("pulumi", args, options);
  // A salt in the stack's file may be another computer's: this one's passphrase would not fit it.
  await (own ? withCleanStackFile(at, stack, init, cwd) : init());
  if (!own) return `stack ${stack} made in your own backend`;
  return `stack ${stack} made in ${at.state}${made ? `; passphrase made: ${at.passphrase}` : ""}`;
}
