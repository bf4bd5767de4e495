/**
 * @file Before a preview and an `up`: containers that should run and do not. Pulumi compares the program with what it
 * remembers, not with what there is, so it would say that nothing is to be done.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { called, expectedOf } from "./containers.mjs";
import { shellQuote } from "./format.mjs";
import { askEngine, askNodes, downOn } from "./live.mjs";
import { asLists } from "./outputs.mjs";
import { PLUGINS, PROJECT, stackDir } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";
import { installed } from "./provider-plugins.mjs";
import { ownBackend } from "./pulumi-env.mjs";
import { asRoot, sshToNode, withAccess } from "./ssh.mjs";

/**
 * @typedef {import("./containers.mjs").Down} Down
 * @typedef {{at: import("./paths.mjs").Places, env: NodeJS.ProcessEnv, cwd: string}} Where
 */

/**
 * What Pulumi remembers of a stack. Berth's own backend is read as it lies there, which takes no second.
 * @param {Where} where
 * @param {string} stack
 * @returns {Promise<any>} the `deployment` of `pulumi stack export`; undefined: there is none yet
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
  const root = deployment?.resources?.find(
    (/** @type {any} */ one) => one.type === "pulumi:pulumi:Stack" && one.delete !== true,
  );
  const nodes = root?.outputs?.nodes;
  return nodes ? asLists({ nodes }) : {};
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
 * @param {Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 * @returns {Promise<{down: Down[], outputs: import("./live.mjs").Outputs, silent: boolean}>} `silent`: somebody who
 *   was asked did not answer
 */
export async function lookForDown(where, stack, note) {
  const { at, env } = where;
  const deployment = await readDeployment(where, stack);
  const expected = expectedOf(deployment);
  const folder = stackDir(at, stack);
  const outputs = withAccess(outputsOf(deployment), folder);
  if (expected.length === 0) return { down: [], outputs, silent: false };
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
  return { down: downOn(expected, answers, engine), outputs, silent };
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

/**
 * What `preview` says of them, and the options with which it shows what `up` would do.
 * @param {Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 * @returns {Promise<string[]>}
 */
export async function showDown(where, stack, note) {
  const { down, silent } = await lookForDown(where, stack, note);
  for (const one of down) note(`${called(one)} ${one.why}; npm run up brings it back`);
  // Everything is read anew then: whoever is silent now would fail the preview.
  return down.length > 0 && !silent && readsHarmlessly(where) ? ["--refresh"] : [];
}

/**
 * What `up` does about them before Pulumi plans: with Berth's docker plugin it reads them, so that the plan starts or
 * makes them; with the official one, those that are there are started as they are.
 * @param {Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 */
export async function takeUpDown(where, stack, note) {
  const { down, outputs } = await lookForDown(where, stack, note);
  if (down.length === 0) return;
  for (const one of down) note(`${called(one)} ${one.why}`);
  const harmless = readsHarmlessly(where);
  const read = down.filter(({ state }) => harmless || state === "missing");
  if (read.length > 0) {
    const args = ["refresh", "--stack", stack, "--yes", "--skip-preview", "--non-interactive"];
    args.push("--suppress-outputs", "--suppress-progress", ...read.flatMap(({ urn }) => ["--target", urn]));
    await trying(note, "what is down could not be read", () =>
      run("pulumi", args, { env: where.env, cwd: where.cwd, interruptGroup: false }),
    );
  }
  for (const one of harmless ? [] : down) {
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
export function startWord(state) {
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
  const options = { env, deadlineMs: 60_000 };
  if (container.node === undefined)
    return run("docker", [...(container.host ? ["--host", container.host] : []), ...args], options);
  const node = outputs.nodes?.find(({ name }) => name === container.node);
  if (!node) throw new Error(`unreachable: ${container.node} was asked`);
  const line = asRoot(node, ["docker", ...args.map(shellQuote)].join(" "));
  return run("ssh", [...sshToNode(stackDir(at, stack), node), line], options);
}
