/**
 * @file Two checkouts measured in turn, so that a slow minute of the computer hits both: which figures got worse.
 */

/** A figure that is worse by more than this is reported. */
export const WORSE = 0.05;

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {number} value
 * @property {boolean} higher a higher value is the better one
 */

/**
 * @typedef {object} Compared
 * @property {string} name
 * @property {number} ours median
 * @property {number} theirs median
 * @property {number} change median over the pairs, as a share: 0.1 is 10 % more of ours
 * @property {number} least of the pairs
 * @property {number} most of the pairs
 * @property {boolean} worse
 */

/**
 * The figures that a measurement printed with `--json`.
 * @param {string} stdout
 * @returns {Figure[]}
 */
export function readFigures(stdout) {
  return stdout.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const { name, ratio, value = ratio, least = false } = JSON.parse(line);
    return typeof name === "string" && typeof value === "number" ? [{ name, value, higher: least }] : [];
  });
}

/**
 * Compares what both sides have; which way is better is said by ours.
 * @param {{ours: Figure[], theirs: Figure[]}[]} pairs one for each time that both were measured
 * @returns {Compared[]}
 */
export function comparePairs(pairs) {
  const first = pairs[0]?.ours ?? [];
  return first.flatMap(({ name, higher }) => {
    const both = pairs.flatMap(({ ours, theirs }) => {
      const [a, b] = [valueIn(ours, name), valueIn(theirs, name)];
      return a === undefined || b === undefined ? [] : [{ a, b, change: a / b - 1 }];
    });
    if (both.length === 0) return [];
    const changes = both.map(({ change }) => change);
    const change = median(changes);
    return [
      {
        name,
        ours: median(both.map(({ a }) => a)),
        theirs: median(both.map(({ b }) => b)),
        change,
        least: Math.min(...changes),
        most: Math.max(...changes),
        worse: (higher ? -change : change) > WORSE,
      },
    ];
  });
}

/**
 * @param {Figure[]} figures
 * @param {string} name
 */
const valueIn = (figures, name) => figures.find((one) => one.name === name)?.value;

/** @param {number[]} numbers at least one */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
