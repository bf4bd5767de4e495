/**
 * @file What the steps of one `npm run node` share.
 */
import { runStep } from "../lib/ui.mjs";
import { askNode } from "./facts.mjs";

/**
 * @typedef {object} Job
 * @property {import("./plan.mjs").Command} command
 * @property {import("./remote.mjs").Way} way
 * @property {import("../lib/paths.mjs").Places} at
 * @property {string} stack
 * @property {import("./plan.mjs").TargetNode} node
 * @property {import("./plan.mjs").TargetNode[]} others
 * @property {boolean} ray whether the stack has Ray
 * @property {boolean} force
 * @property {boolean} filesGo people's files go with the machine that is replaced
 * @property {string} reason
 * @property {number} deadlineMs
 * @property {boolean} ownDeadline `--deadline` was said
 * @property {import("../lib/ui.mjs").Ui} ui
 * @property {string[]} warnings what the person should know at the end
 */

/**
 * @template T
 * @param {Job} job
 * @param {string} title
 * @param {(step: import("../lib/ui.mjs").Step) => Promise<{way: string, value: T}>} work
 * @returns {Promise<T>}
 */
export const inStep = ({ ui }, title, work) => runStep(ui, title, work);

/**
 * @param {Job} job
 * @param {(line: string) => void} [warn]
 * @returns {Promise<import("./facts.mjs").Facts | undefined>}
 */
export const askTarget = (job, warn) => askNode(job.way, job.stack, job.node, warn);

/**
 * The other nodes, side by side.
 * @param {Job} job
 * @param {(line: string) => void} [warn]
 * @returns {Promise<Map<string, import("./facts.mjs").Facts | undefined>>} by name
 */
export async function askOthers(job, warn) {
  const asked = job.others.map(
    async (node) => /** @type {const} */ ([node.name, await askNode(job.way, job.stack, node, warn)]),
  );
  return new Map(await Promise.all(asked));
}
