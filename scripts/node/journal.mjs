/**
 * @file What a run that was cut off leaves on this computer, for the time in which the node itself cannot say it: it
 * restarts, or its machine is being made anew.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readJson, writeWhole } from "../lib/files.mjs";
import { stackDir } from "../lib/paths.mjs";

/**
 * @typedef {object} Journal
 * @property {import("./plan.mjs").Command} command
 * @property {string} since ISO 8601
 * @property {import("./plan.mjs").Mark} [mark] as it was placed on the node
 * @property {string} [machine] the id that the machine had before it was replaced
 */

/** @param {Pick<import("./job.mjs").Job, "at" | "stack" | "node">} job */
const file = ({ at, stack, node }) => join(stackDir(at, stack), `node-${node.name}.json`);

/**
 * @param {import("./job.mjs").Job} job
 * @returns {Journal | undefined} undefined: nothing is under way, or something else than this command
 */
export function readJournal(job) {
  const found = readJson(file(job));
  return found?.command === job.command && typeof found.since === "string" ? found : undefined;
}

/**
 * @param {import("./job.mjs").Job} job
 * @param {Pick<Journal, "mark" | "machine">} content
 */
export function writeJournal(job, content) {
  const journal = { command: job.command, since: new Date().toISOString(), ...content };
  writeWhole(file(job), `${JSON.stringify(journal, null, 2)}\n`);
}

/** @param {import("./job.mjs").Job} job */
export function forgetJournal(job) {
  rmSync(file(job), { force: true });
}
