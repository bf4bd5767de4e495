/**
 * @file Runs scripts on a node, over SSH.
 */
import { readFileSync } from "node:fs";
import { shellQuote } from "../lib/format.mjs";
import { CommandError, run } from "../lib/process.mjs";
import { asRoot, sshToNode } from "../lib/ssh.mjs";

/**
 * @typedef {object} Way  how nodes are reached from here
 * @property {string} folder the stack's, with the key and the known hosts
 * @property {NodeJS.ProcessEnv} env
 */

/**
 * @param {string} name of a script's file in this folder
 * @param {Record<string, string>} values set in front of it, by the names of their variables
 * @returns {string}
 */
export function scriptWith(name, values) {
  const assignments = Object.entries(values).map(([key, value]) => `${key}=${shellQuote(value)}\n`);
  return assignments.join("") + readFileSync(new URL(name, import.meta.url), "utf8");
}

/**
 * Runs a script as root.
 * @param {Way} way
 * @param {import("./plan.mjs").TargetNode} node
 * @param {string} script for bash
 * @param {{deadlineMs?: number, okCodes?: number[]}} [options] `deadlineMs`: default 30 s
 * @returns {Promise<string>} its standard output
 * @throws {CommandError} with the node's name in it
 */
export async function onNode({ folder, env }, node, script, { deadlineMs = 30_000, okCodes = [0] } = {}) {
  const args = [...sshToNode(folder, node), asRoot(node, "bash -s")];
  return told(node, run("ssh", args, { env, input: `set -eu\n${script}\n`, deadlineMs, okCodes }));
}

/**
 * Runs a program with words in a container of a node, its standard input given.
 * @param {Way} way
 * @param {import("./plan.mjs").TargetNode} node
 * @param {string} container its name
 * @param {string[]} words
 * @param {string} input
 * @returns {Promise<string>} its standard output
 */
export async function inContainer({ folder, env }, node, container, words, input) {
  const command = ["timeout", "60", "docker", "exec", "-i", container, ...words].map(shellQuote).join(" ");
  const args = [...sshToNode(folder, node), asRoot(node, command)];
  return told(node, run("ssh", args, { env, input, deadlineMs: 75_000 }));
}

/**
 * @param {import("./plan.mjs").TargetNode} node
 * @param {Promise<{stdout: string}>} running
 */
async function told({ name, address }, running) {
  try {
    return (await running).stdout;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const said = error.output.filter((line) => line.trim()).slice(-5);
    throw new CommandError(`${name} (${address}): ${error.message}`, error.code, said);
  }
}
