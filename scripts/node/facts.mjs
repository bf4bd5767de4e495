/**
 * @file What a node says about itself: its start, its mark, its workspaces, its Ray.
 */
import { CommandError } from "../lib/process.mjs";
import { onNode, scriptWith } from "./remote.mjs";

/** Where a node says that it is drained. */
export const MARK = "/var/lib/berth/drained";

/** A node that has not answered after so long is taken for one that does not answer. */
const ASK_MS = 30_000;

/**
 * @typedef {"running" | "starting" | "draining" | "drained" | "down" | "old" | "none"} RayState `drained`: nothing of
 *   Ray runs, nor will; `down`: its container does not run; `old`: its image does not know how to stay drained;
 *   `none`: the node has no Ray
 *
 * @typedef {object} WorkspaceFacts
 * @property {string} name of the container
 * @property {string} owner
 * @property {string} state as Docker says it
 * @property {boolean} healthy
 * @property {number} terminals open ones
 *
 * @typedef {object} Facts
 * @property {string} boot changes whenever the machine starts: the kernel's boot id, and when its first process began
 *   (a container's kernel is its host's)
 * @property {boolean} docker whether its engine answers
 * @property {import("./plan.mjs").Mark | undefined} mark
 * @property {WorkspaceFacts[]} workspaces
 * @property {RayState} ray
 * @property {string | undefined} rayContainer its name
 * @property {true} [homesOnDisk] homes of people lie on the disk that the system is on, and go with the machine
 */

/**
 * @param {string} stack a checked name
 * @param {{homes: string, system: string}} [at] absolute paths, other ones in tests
 * @returns {string} for bash
 */
export const factsScript = (stack, { homes, system } = { homes: "/mnt/storage/homes", system: "/" }) =>
  scriptWith("facts.sh", { stack, mark: MARK, homes, system });

/**
 * @param {string} text what the script printed
 * @returns {Facts | undefined} undefined: it did not get to its end
 */
export function readFacts(text) {
  const lines = text.split("\n");
  if (!lines.includes("END")) return undefined;
  /** @type {Facts} */
  const facts = {
    boot: "",
    docker: false,
    mark: undefined,
    workspaces: [],
    ray: "none",
    rayContainer: undefined,
  };
  for (const line of lines) {
    const [kind, a = "", b = "", c = "", d = "", e = ""] = line.split("\t");
    if (kind === "B") facts.boot = a;
    if (kind === "D") facts.docker = true;
    if (kind === "M") facts.mark = readMark(a);
    if (kind === "H") facts.homesOnDisk = true;
    if (kind === "W")
      facts.workspaces.push({
        name: a,
        owner: b,
        state: c,
        healthy: c === "running" && /\(healthy\)/.test(d),
        terminals: Number(e) || 0,
      });
    if (kind === "R") {
      facts.rayContainer = a;
      facts.ray = /^(running|starting|draining|drained|down|old)$/.test(b)
        ? /** @type {RayState} */ (b)
        : "down";
    }
  }
  return facts;
}

/**
 * A mark that cannot be read still says that the node is out.
 * @param {string} base64
 * @returns {import("./plan.mjs").Mark}
 */
function readMark(base64) {
  /** @type {any} */
  let found;
  try {
    found = JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
  } catch {
    found = {};
  }
  const text = (/** @type {unknown} */ value, /** @type {string} */ otherwise) =>
    typeof value === "string" ? value : otherwise;
  const time = (/** @type {unknown} */ value) =>
    typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : new Date(0).toISOString();
  return {
    since: time(found?.since),
    reason: text(found?.reason, "for an unknown reason"),
    by: found?.by === "reboot" || found?.by === "replace" ? found.by : "drain",
    deadline: time(found?.deadline),
    boot: text(found?.boot, ""),
    workspaces: Array.isArray(found?.workspaces) ? found.workspaces.map(String) : [],
    keep: found?.keep !== false,
  };
}

/**
 * @param {import("./remote.mjs").Way} way
 * @param {string} stack
 * @param {import("./plan.mjs").TargetNode} node
 * @param {(line: string) => void} [warn] why it does not answer
 * @returns {Promise<Facts | undefined>} undefined: it does not answer
 */
export async function askNode(way, stack, node, warn = () => {}) {
  try {
    return readFacts(await onNode(way, node, factsScript(stack), { deadlineMs: ASK_MS }));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    warn([error.message, ...error.output].join(": "));
    return undefined;
  }
}
