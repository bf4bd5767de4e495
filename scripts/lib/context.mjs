/**
 * @file What the steps share, and the record of what was found (BERTH_HOME/engine.json).
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { readJson, writeWhole } from "./files.mjs";

/**
 * @typedef {object} Context
 * @property {import("./paths.mjs").Places} at
 * @property {NodeJS.ProcessEnv} env environment of every program run from here on; steps add to it
 * @property {import("./ui.mjs").Ui} ui
 * @property {import("./ui.mjs").Step} step the running one
 * @property {EngineRecord} found what was found so far
 */

/**
 * BERTH_HOME/engine.json: lets the other scripts begin at once, without looking for everything again.
 * @typedef {object} EngineRecord
 * @property {string[]} path folders to put first on PATH
 * @property {{host?: string, version: string, started?: {pid: number, identity: string}}} [docker] `host`: what
 *   DOCKER_HOST must say, when it is not the default; `started`: the dockerd that Berth started
 * @property {{version: string, way: string}} [pulumi]
 */

/**
 * @param {import("./paths.mjs").Places} at
 * @returns {EngineRecord}
 */
export function readRecord(at) {
  const record = readJson(at.engineFile);
  const path = Array.isArray(record?.path)
    ? record.path.filter((/** @type {unknown} */ p) => typeof p === "string")
    : [];
  return { ...(record && typeof record === "object" ? record : {}), path };
}

/**
 * @param {import("./paths.mjs").Places} at
 * @param {EngineRecord} record
 */
export function writeRecord(at, record) {
  const text = `${JSON.stringify(record, null, 2)}\n`;
  if (JSON.stringify(readJson(at.engineFile)) !== JSON.stringify(record)) writeWhole(at.engineFile, text);
}

/** The folder with the `node` program, inside a folder where npm installed Node.js's package. */
export function nodeBin(/** @type {string} */ folder) {
  const name = nodePackage();
  const inside = join(folder, "node_modules", name);
  return process.platform === "win32" && existsSync(join(inside, "node.exe")) ? inside : join(inside, "bin");
}

/** The npm package that holds Node.js's own program for this computer. */
export function nodePackage() {
  const system = process.platform === "win32" ? "win" : process.platform;
  return `node-${system}-${process.arch}`;
}

/**
 * Puts folders first on an environment's PATH, in order, without doubling any.
 * @param {NodeJS.ProcessEnv} env changed in place
 * @param {string[]} folders
 */
export function prependPath(env, folders) {
  const rest = (env.PATH ?? "").split(delimiter).filter((folder) => folder && !folders.includes(folder));
  env.PATH = [...folders, ...rest].join(delimiter);
}

/** Notes a folder for PATH in the record and the environment. */
export function addToPath(/** @type {Context} */ context, /** @type {string} */ folder) {
  context.found.path = [folder, ...context.found.path.filter((known) => known !== folder)];
  prependPath(context.env, context.found.path);
}
