/**
 * @file Tells the people in workspaces: in every terminal that is open, and at each login as long as it holds.
 */
import { onNode, scriptWith } from "./remote.mjs";

/**
 * What becomes of the text that is shown at each login: this one is placed there, or what is there is removed or left.
 * @typedef {"place" | "remove" | "leave"} Login
 */

/**
 * For bash on a node: every running workspace of the stack is told; one that cannot be is named.
 * @param {string} stack a checked name
 * @param {string[]} lines
 * @param {Login} login
 */
export function tellScript(stack, lines, login) {
  const base64 = (/** @type {string} */ text) => Buffer.from(text).toString("base64");
  const words = { text: base64(lines.join("\n")), program: base64(scriptWith("notice.sh", {})) };
  return scriptWith("tell.sh", { stack, login, ...words });
}

/**
 * @param {string} text what the script printed
 * @returns {{told: {owner: string, terminals: number}[], failed: string[]}}
 */
export function readTold(text) {
  const words = text.split("\n").map((line) => line.split("\t"));
  return {
    told: words
      .filter(([kind]) => kind === "T")
      .map(([, owner = "", count]) => ({ owner, terminals: Number(count) || 0 })),
    failed: words.filter(([kind]) => kind === "F").map(([, owner = ""]) => owner),
  };
}

/**
 * Tells the workspaces of one node.
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").TargetNode} node
 * @param {string[]} lines
 * @param {Login} login
 * @returns {Promise<string>} in a few words
 */
export async function tell(job, node, lines, login) {
  const answer = await onNode(job.way, node, tellScript(job.stack, lines, login), { deadlineMs: 120_000 });
  const { told, failed } = readTold(answer);
  for (const owner of failed) job.warnings.push(`the workspace of ${owner} could not be told`);
  if (told.length === 0) return failed.length > 0 ? "none could be told" : "no workspace runs";
  return told
    .map(({ owner, terminals }) => `${owner} (${terminals} terminal${terminals === 1 ? "" : "s"})`)
    .join(", ");
}
