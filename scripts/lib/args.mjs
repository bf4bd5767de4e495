/**
 * @file Command line options of the scripts: `--stack NAME`, `--help`, flags, and what is passed on.
 */
import { DEFAULT_STACK } from "./paths.mjs";

/** A mistake of the caller: its text is all they need; exit code 2. */
export class UsageError extends Error {
  exitCode = 2;
}

/**
 * What a stack may be called: Pulumi allows letters, digits, "-", "_" and "."; here also what fits a host name and
 * a Docker object's name (`berth-<stack>-<thing>`), and never a path.
 */
const STACK_NAME = /^[a-z][a-z0-9-]{0,29}$/;

/**
 * @param {string} name
 * @returns {string} the name
 * @throws {UsageError} when it is none
 */
export function checkStackName(name) {
  if (!STACK_NAME.test(name)) {
    throw new UsageError(
      `--stack: ${JSON.stringify(name)} is not a stack's name. Allowed: a lower-case letter, then up to 29 lower-case letters, digits or "-", such as "dev".`,
    );
  }
  return name;
}

/** What a timer of Node.js can wait at most (setTimeout: 2^31 - 1 ms); a longer one rings at once. */
const MOST_MINUTES = Math.floor((2 ** 31 - 1) / 60_000);

/**
 * @param {string} option its name, with dashes
 * @param {string | undefined} said what was given
 * @param {number} otherwise minutes where nothing was
 * @returns {number} milliseconds
 * @throws {UsageError} no number, 0 or less, more than a timer can wait
 */
export function readMinutes(option, said, otherwise) {
  const minutes = Number(said ?? otherwise);
  if (!(minutes > 0 && minutes <= MOST_MINUTES)) {
    throw new UsageError(
      `${option}: ${JSON.stringify(said)} is no number of minutes. Allowed: more than 0, at most ${MOST_MINUTES}.`,
    );
  }
  return minutes * 60_000;
}

/**
 * Reads options.
 *
 * @param {string[]} argv what follows the script's name
 * @param {{flags?: string[], values?: string[], passThrough?: boolean}} allowed names without the dashes;
 *   `passThrough`: what is not known goes to `rest` instead of being refused
 * @returns {{stack: string, help: boolean, flags: Set<string>, values: Record<string, string>, rest: string[]}}
 * @throws {UsageError} unknown option, missing value, bad stack name
 */
export function readArgs(argv, allowed = {}) {
  const flags = new Set(/** @type {string[]} */ ([]));
  /** @type {Record<string, string>} */
  const values = {};
  /** @type {string[]} */
  const rest = [];
  const valued = new Set(["stack", ...(allowed.values ?? [])]);
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--" && allowed.passThrough) {
      rest.push(...argv.slice(i + 1));
      break;
    }
    const long =
      word === "-h" ? "help" : word === "-s" ? "stack" : word.startsWith("--") ? word.slice(2) : undefined;
    const [name, inline] = long === undefined ? [undefined, undefined] : splitOnce(long, "=");
    if (name !== undefined && valued.has(name)) {
      const value = inline ?? argv[++i];
      if (value === undefined || value === "")
        throw new UsageError(`--${name}: a value is missing after it.`);
      values[name] = value;
    } else if (
      name !== undefined &&
      inline === undefined &&
      (name === "help" || allowed.flags?.includes(name))
    ) {
      flags.add(name);
    } else if (allowed.passThrough) {
      rest.push(word);
    } else {
      const names = ["--stack NAME", ...(allowed.values ?? []).map((v) => `--${v} VALUE`)];
      names.push(...(allowed.flags ?? []).map((f) => `--${f}`), "--help");
      throw new UsageError(`${JSON.stringify(word)} is not an option here. Allowed: ${names.join(", ")}.`);
    }
  }
  return {
    stack: checkStackName(values.stack ?? DEFAULT_STACK),
    help: flags.has("help"),
    flags,
    values,
    rest,
  };
}

/**
 * @param {string} text
 * @param {string} separator
 * @returns {[string, string | undefined]}
 */
function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
