/**
 * @file The lanes of `npm test`: which slow parts run one after the other, which side by side, how long each lane may
 * take, and what grew where one takes longer.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { readJson } from "./files.mjs";
import { duration } from "./format.mjs";
import { ROOT } from "./paths.mjs";
import { availableMemory } from "./room.mjs";

/**
 * @typedef {object} Lane
 * @property {string} name
 * @property {string[]} parts one after the other
 * @property {number} minutes its budget on two processors that nothing else uses, with all caches filled
 */

/**
 * Side by side. The budgets leave some time to spare, for slower machines. "stacks" has the
 * most: a hostile tenant is tried on the cluster, over streams and people's containers too, and all its people's services
 * and restarts. Measured on a computer that did other work too: 39 and 48 minutes.
 * @type {Lane[]}
 */
export const LANES = [
  { name: "nodes", parts: ["engine", "nodes"], minutes: 40 },
  { name: "stacks", parts: ["process", "stacks"], minutes: 52 },
];

/** By itself, when all else has ended. @type {Lane} */
export const LAST = { name: "last", parts: ["last"], minutes: 7 };

/** The limits of what two lanes hold at a time: the cluster's two nodes 12 GiB, a test node 2 GiB, and the programs beside them. */
const MEMORY_FOR_TWO = 16e9;

/**
 * The chosen parts in lanes, and the lanes in groups: those of a group run side by side, the groups one after another.
 * @param {string[]} parts
 * @param {{sideBySide: boolean}} options
 * @returns {Lane[][]}
 */
export function laneGroups(parts, { sideBySide }) {
  const chosen = [...LANES, LAST]
    .map((lane) => ({ ...lane, parts: lane.parts.filter((part) => parts.includes(part)) }))
    .filter((lane) => lane.parts.length > 0);
  const first = chosen.filter(({ name }) => name !== LAST.name);
  const last = chosen.filter(({ name }) => name === LAST.name);
  return [...(sideBySide ? [first] : first.map((lane) => [lane])), last].filter((group) => group.length > 0);
}

/** Whether this computer has room for two lanes now, and why not. */
export function roomForTwo() {
  const available = availableMemory();
  const gb = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
  return available >= MEMORY_FOR_TWO
    ? { yes: true, why: `${gb(available)} are free` }
    : { yes: false, why: `${gb(available)} are free, two lanes want ${gb(MEMORY_FOR_TWO)}` };
}

/**
 * @typedef {object} LaneTime
 * @property {Lane} lane
 * @property {number} ms
 * @property {import("./suites.mjs").FileTime[]} files
 */

/**
 * What is wrong with a lane's time: nothing, or a text that names what grew since `known`.
 * @param {LaneTime} time
 * @param {{known: Record<string, number>, share: number}} options `known`: seconds by file; `share`: of the
 *   processors, that this run had
 * @returns {string | undefined}
 */
export function overBudget({ lane, ms, files }, { known, share }) {
  const allowed = (lane.minutes * 60_000) / share;
  if (ms <= allowed) return undefined;
  const grown = files
    .map(({ file, ms: now }) => ({ file, now: now / 1000, before: known[file] ?? 0 }))
    .map((one) => ({ ...one, more: one.now - one.before }))
    .filter(({ more }) => more > 5)
    .sort((a, b) => b.more - a.more)
    .slice(0, 5)
    .map(({ file, now, before, more }) =>
      before === 0
        ? `  ${file}: new, ${Math.round(now)} s`
        : `  ${file}: ${Math.round(before)} s -> ${Math.round(now)} s (+${Math.round(more)} s)`,
    );
  const stretched =
    share < 1 ? ` (stretched, as other programs took ${percent(1 - share)} of the processors)` : "";
  return [
    `lane ${lane.name}: ${duration(ms)}, and its budget is ${duration(allowed)}${stretched}. What grew since test/times.json:`,
    ...(grown.length > 0 ? grown : ["  nothing by itself: this computer is slower, or all of it is"]),
    "Make what grew faster. Where that is not possible: raise the budget in scripts/lib/lanes.mjs, and say why.",
  ].join("\n");
}

const percent = (/** @type {number} */ part) => `${Math.round(part * 100)} %`;

/** What each file took in the run that the repository remembers; seconds. @returns {Record<string, number>} */
export const knownTimes = () => readJson(join(ROOT, TIMES)) ?? {};
export const TIMES = "test/times.json";

/**
 * The text of test/times.json: the files that take 5 s and more, the slowest first.
 * @param {import("./suites.mjs").FileTime[]} files
 */
export function renderTimes(files) {
  const slow = files.filter(({ ms }) => ms >= 5000).sort((a, b) => b.ms - a.ms);
  const seconds = Object.fromEntries(slow.map(({ file, ms }) => [file, Math.round(ms / 1000)]));
  return `${JSON.stringify(seconds, null, 2)}\n`;
}

/**
 * The slowest files, a line each.
 * @param {import("./suites.mjs").FileTime[]} files
 * @param {Record<string, number>} known
 */
export function slowest(files, known, count = 5) {
  return [...files]
    .sort((a, b) => b.ms - a.ms)
    .slice(0, count)
    .map(({ file, ms }) => {
      const before = known[file];
      return `  ${duration(ms).padEnd(12)} ${file}${before === undefined ? "" : ` (${duration(before * 1000)} in test/times.json)`}`;
    });
}

/**
 * What budgets are stretched by, from a run's measurements. Never by more than twice: with less of the processors no
 * budget says anything.
 * @param {number[]} shares
 */
export const meanShare = (shares) =>
  Math.max(0.5, shares.reduce((sum, one) => sum + one, 0) / Math.max(1, shares.length));

/** Spins for so long and says how much of a processor it got. */
const SPIN = `
const { parentPort, workerData } = require("node:worker_threads");
const end = Date.now() + workerData;
while (Date.now() < end);
parentPort.close();`;

/**
 * The share of this computer's processors that a program gets which wants all of them: 1 where nothing else runs, 0.5
 * beside a program that keeps all of them busy.
 * @returns {Promise<number>}
 */
export async function processorShare(ms = 1000) {
  const cores = availableParallelism();
  const began = process.hrtime.bigint();
  const before = process.cpuUsage();
  await Promise.all(
    Array.from(
      { length: cores },
      () =>
        new Promise((done, fail) => {
          const worker = new Worker(SPIN, { eval: true, workerData: ms });
          worker.once("exit", done).once("error", fail);
        }),
    ),
  );
  const { user, system } = process.cpuUsage(before);
  const wall = Number(process.hrtime.bigint() - began) / 1000;
  const share = (user + system) / (wall * cores);
  // Starting the threads costs a little: what is nearly all is all.
  return share > 0.9 ? 1 : Math.max(0.1, share);
}
