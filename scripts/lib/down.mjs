/**
 * @file Before a preview and an `up`: containers that should run and do not. Pulumi compares the program with what it
 * remembers, not with what there is, so it would say that nothing is to be done.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { called, expectedOf, rootOutputs } from "./containers.mjs";
import { askEngine, askNodes, downOn } from "./live.mjs";
import { PLUGINS, PROJECT, stackDir } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";
import { installed } from "./provider-plugins.mjs";
import { ownBackend } from "./pulumi-env.mjs";
import { dockerOn, withAccess } from "./ssh.mjs";

/**
 * @typedef {import("./containers.mjs").Down} Down
 * @typedef {{at: import("./paths.mjs").Places, env: NodeJS.ProcessEnv, cwd: string}} Where
 */

/**
 * What Pulumi remembers of a stack. Berth's own backend is read as it lies there, which takes no second.
 * @param {Where} where
 * @param {string} stack
 * @returns {Promise<any>} the `deployment` of `pulumi stack export`; undefined: Berth's own backend has none yet
 * @throws {CommandError} another backend has none, or does not answer
 */
export async function readDeployment({ at, env, cwd }, stack) {
  if (!ownBackend(env, at)) {
    const args = ["stack", "export", "--stack", stack];
    return JSON.parse((await run("pulumi", args, { env, cwd, deadlineMs: 60_000 })).stdout).deployment;
  }
  const file = join(at.state, ".pulumi/stacks", PROJECT, `${stack}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).checkpoint?.latest : undefined;
}

/**
 * The stack's outputs, as far as they are no secrets.
 * @param {any} deployment
 * @returns {import("./live.mjs").Outputs}
 */
export function outputsOf(deployment) {
  const { nodes } = rootOutputs(deployment?.resources ?? []);
  return nodes ? { nodes } : {};
}

/**
 * Asks the operator's engine, where some of the stack's containers are on it.
 * @param {string} stack
 * @param {readonly import("./containers.mjs").Expected[]} expected
 * @param {NodeJS.ProcessEnv} env
 * @param {(line: string) => void} warn
 * @returns {Promise<import("./containers.mjs").Container[] | undefined>} undefined: not asked, or it does not answer
 */
export async function askOperator(stack, expected, env, warn) {
  const here = expected.find(({ node }) => node === undefined);
  if (!here) return undefined;
  try {
    return await askEngine(stack, here.host, env);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    warn(`this computer's Docker engine: ${error.output.filter(Boolean).at(-1) ?? error.message}`);
    return undefined;
  }
}

/**
 * @typedef {object} Look
 * @property {Down[]} down containers that should run and do not
 * @property {import("./live.mjs").Outputs} outputs
 * @property {boolean} silent somebody who was asked did not answer, or not wholly
 * @property {boolean} harmless as {@link readsHarmlessly}
 */

/**
 * @param {Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 * @returns {Promise<Look>}
 */
export async function lookForDown(where, stack, note) {
  const { at, env } = where;
  const deployment = await readDeployment(where, stack);
  const expected = expectedOf(deployment);
  const folder = stackDir(at, stack);
  const outputs = withAccess(outputsOf(deployment), folder);
  const harmless = readsHarmlessly(where);
  if (expected.length === 0) return { down: [], outputs, silent: false, harmless };
  let silent = false;
  const warn = (/** @type {string} */ line) => {
    silent = true;
    note(`whether its containers run is not known: ${line}`);
  };
  const on = new Set(expected.map(({ node }) => node));
  const nodes = (outputs.nodes ?? []).filter(({ name }) => on.has(name));
  const [answers, engine] = await Promise.all([
    askNodes(stack, { nodes }, { folder, env, warn }),
    askOperator(stack, expected, env, warn),
  ]);
  const down = downOn(expected, answers, engine);
  return { down, outputs, silent: silent || down.some(({ state }) => state === "unknown"), harmless };
}

/**
 * Whether the docker plugin that Pulumi loads is Berth's. The official one removes a container that is down as soon as
 * it is read (terraform-provider-docker, resourceDockerContainerRead), with all that was installed in it.
 * @param {Where} where
 */
function readsHarmlessly({ at, env }) {
  const plugin = PLUGINS.find(({ name }) => name === "docker");
  return plugin !== undefined && installed(env.PULUMI_HOME || at.pulumiHome, plugin) === "ours";
}

/** @typedef {"plan" | "read" | "before" | "after" | "wait" | "none"} Remedy */

/**
 * What brings one that is down back. Whoever has root in a workspace can make it end again and again, or keep it from
 * starting, so no update waits for a workspace, or fails for it.
 * @param {Down} one
 * @param {boolean} harmless as {@link readsHarmlessly}
 * @returns {Remedy} `plan`: Pulumi makes it in any case; `read`: Pulumi makes or starts it once it was read anew;
 *   `before`, `after`: it is started as it is, before or after the update; `wait`: Docker or berthd does by itself;
 *   `none`: nothing that is done here
 */
function remedyOf({ component, state, held, pending }, harmless) {
  if (pending && state === "missing") return "plan";
  if (state === "unknown") return "none";
  if (state === "missing") return "read";
  const workspace = component === "workspace";
  if (workspace && state === "restarting") return "wait";
  if (harmless) return "read";
  // Its GPUs may be another one's by now, which the ledger knows.
  if (held) return "wait";
  if (startWord(state) === undefined) return "none";
  return workspace ? "after" : "before";
}

/** @type {Record<Remedy, string>} */
const WILL = {
  plan: "; the update makes it again",
  read: "; the update brings it back",
  before: "; it is started before the update",
  after: "; it is started after the update",
  wait: "; it is tried again by itself, and the update does not wait for it",
  none: "",
};

/**
 * Says what is down, why, and what an update does about it.
 * @param {Pick<Look, "down" | "harmless">} look
 * @param {(line: string) => void} note
 */
export function tellDown({ down, harmless }, note) {
  for (const one of down) note(`${called(one)} ${one.why}${WILL[remedyOf(one, harmless)]}`);
}

/**
 * @param {Pick<Look, "down" | "harmless">} look
 * @returns {boolean} whether {@link takeUpDown} or {@link startLeft} would do something
 */
export function wouldAct({ down, harmless }) {
  return down.some((one) => ["read", "before", "after"].includes(remedyOf(one, harmless)));
}

/**
 * The options with which a preview shows what an update would do about them.
 * @param {Look} look
 * @returns {string[]}
 */
export function previewOptions({ down, silent, harmless }) {
  const read = down.some((one) => remedyOf(one, harmless) === "read");
  // Everything is read anew then: whoever is silent now would fail the preview.
  return read && !silent && harmless ? ["--refresh"] : [];
}

/**
 * What an update does about them before Pulumi plans. With Berth's docker plugin it reads them, so that the plan starts
 * or makes them. With the official one it reads those that are gone, and starts what the update itself needs: the
 * registry, nodes, Ray.
 * @param {Where} where
 * @param {string} stack
 * @param {Look} look
 * @param {(line: string) => void} note
 */
export async function takeUpDown(where, stack, { down, outputs, harmless }, note) {
  const by = (/** @type {Remedy} */ way) => down.filter((one) => remedyOf(one, harmless) === way);
  const read = by("read");
  if (read.length > 0) {
    // Into the state alone: nothing on an engine is changed.
    const args = ["refresh", "--stack", stack, "--yes", "--skip-preview", "--non-interactive"];
    args.push("--suppress-outputs", "--suppress-progress", ...read.flatMap(({ urn }) => ["--target", urn]));
    await trying(note, "what is down could not be read", () =>
      run("pulumi", args, { env: where.env, cwd: where.cwd, interruptGroup: false }),
    );
  }
  await startAll(where, stack, outputs, by("before"), note);
}

/**
 * What an update does after it, with the official plugin: starts the workspaces that were down before it and still are.
 * Those that it stopped, removed or made anew are left as they are.
 * @param {Where} where
 * @param {string} stack
 * @param {Pick<Look, "down" | "harmless">} before
 * @param {(line: string) => void} note
 */
export async function startLeft(where, stack, before, note) {
  const ids = new Set(
    before.down.flatMap((one) => (remedyOf(one, before.harmless) === "after" ? [one.id] : [])),
  );
  if (ids.size === 0) return;
  const { down, outputs, harmless } = await lookForDown(where, stack, note);
  const left = down.filter((one) => ids.has(one.id) && remedyOf(one, harmless) === "after");
  await startAll(where, stack, outputs, left, note);
}

/**
 * @param {Where} where
 * @param {string} stack
 * @param {import("./live.mjs").Outputs} outputs
 * @param {readonly Down[]} down
 * @param {(line: string) => void} note
 */
async function startAll(where, stack, outputs, down, note) {
  for (const one of down) {
    const verb = startWord(one.state);
    if (verb === undefined) continue;
    await trying(note, `${called(one)} could not be started`, () =>
      docker(where, stack, outputs, one, [verb, one.id]),
    );
  }
}

/**
 * @param {string} state
 * @returns {"start" | "unpause" | undefined} undefined: nothing that docker could do
 */
function startWord(state) {
  if (state === "exited" || state === "created") return "start";
  return state === "paused" ? "unpause" : undefined;
}

/**
 * What follows says more of it, or mends it: it goes on in any case.
 * @param {(line: string) => void} note
 * @param {string} what
 * @param {() => Promise<unknown>} work
 */
async function trying(note, what, work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    note(`${what}: ${error.output.filter(Boolean).at(-1) ?? error.message}`);
  }
}

/**
 * @param {Where} where
 * @param {string} stack
 * @param {import("./live.mjs").Outputs} outputs
 * @param {Down} container
 * @param {string[]} args
 */
function docker({ at, env }, stack, outputs, container, args) {
  const node = outputs.nodes?.find(({ name }) => name === container.node);
  if (container.node !== undefined && !node) throw new Error(`unreachable: ${container.node} was asked`);
  return dockerOn({ folder: stackDir(at, stack), env, node, host: container.host }, args);
}
