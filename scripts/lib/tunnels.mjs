/**
 * @file The commands by which people reach VS Code, Jupyter and TensorBoard of their workspaces. Pure.
 */
import { table } from "./format.mjs";

/**
 * @param {{name: string, tunnel?: string}[]} users of the stack's output `users`
 * @returns {string} nothing where no workspace needs one
 */
export function tunnelText(users) {
  const rows = users.flatMap(({ name, tunnel }) => (tunnel ? [[name, tunnel]] : []));
  if (rows.length === 0) return "";
  const what = "VS Code, Jupyter and TensorBoard open in a browser on the computer where this runs:";
  return `${what}\n${table(["USER", "COMMAND"], rows)}`;
}
