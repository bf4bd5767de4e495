/**
 * @file Runs the parts of the test pyramid: types, lint, and vitest's projects.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countReport, failed } from "./counts.mjs";
import { readJson } from "./files.mjs";
import { duration } from "./format.mjs";
import { ROOT } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";

/**
 * @typedef {object} FileTime
 * @property {string} file from the repository's root
 * @property {number} ms with its hooks
 */

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {import("./counts.mjs").Counts} counts
 * @property {number} ms
 * @property {FileTime[]} files what each test file took
 * @property {string[]} failures the names of the tests that failed, with their files
 * @property {string[]} output what to show when something failed
 */

/** The fast ones, which run side by side. */
export const FAST = ["types", "lint", "unit"];

/**
 * The slow ones, by vitest's project, and the folder of its files. `process`: programs as processes, ours killed and
 * slowed, and the scripts of stages beside stand-ins: no container engine. `engine`: a real Pulumi with programs of its
 * own. `nodes`: machines, each by itself, and a stack of all their kinds. `stacks`: whole stacks. `last`: what concerns
 * everything on this computer, so nothing else runs beside it.
 * @type {Record<string, string>}
 */
export const SLOW = {
  process: "test/process",
  engine: "test/engine",
  nodes: "test/e2e/nodes",
  stacks: "test/e2e/stacks",
  last: "test/e2e/last",
};

/** What `npm test` leaves out: whole virtual machines, which `npm run test:machines` runs. @type {Record<string, string>} */
export const APART = { machines: "test/machines" };

/** Parts that are more than one of vitest's projects: see vitest.config.mts. @type {Record<string, string[]>} */
const PROJECTS = { unit: ["unit", "unit-replacing"] };

/** What `--only` takes besides the names above. @type {Record<string, string[]>} */
const GROUPS = { unit: FAST, e2e: ["nodes", "stacks", "last"] };

/** Words for `--only`. */
export const PARTS = [...new Set(["unit", ...Object.keys(SLOW), "e2e"])];

/** Those that need Pulumi and a container engine. */
export const ON_ENGINE = ["engine", "nodes", "stacks", "last"];
/** Those that need Berth's images. */
export const ON_IMAGES = ["nodes", "stacks", "last"];

/**
 * The parts that a word of `--only` means.
 * @param {string | undefined} only undefined: all
 * @returns {string[] | undefined} undefined: there is no such part
 */
export function partsOf(only) {
  if (only === undefined) return [...FAST, ...Object.keys(SLOW)];
  if (Object.hasOwn(GROUPS, only)) return GROUPS[only];
  return Object.hasOwn(SLOW, only) ? [only] : undefined;
}

/**
 * The parts that have something to run: where words for vitest name test files, those that hold such a file.
 * @param {string[]} parts
 * @param {string[]} words as vitest takes them: parts of paths, options
 */
export function concerned(parts, words) {
  const holds = (/** @type {string} */ part, /** @type {string} */ word) =>
    testFiles(part).some((file) => file.includes(word));
  const meant = words.filter((word) => parts.some((part) => holds(part, word)));
  if (meant.length > 0) return parts.filter((part) => meant.some((word) => holds(part, word)));
  return parts.filter((part) => !Object.hasOwn(SLOW, part) || testFiles(part).length > 0);
}

/** @param {string} part @returns {string[]} paths from the repository's root */
export function testFiles(part) {
  const folders =
    part === "unit"
      ? ["test/unit", "plugins"]
      : [SLOW[part] ?? APART[part]].filter((folder) => folder !== undefined);
  return folders
    .filter((folder) => existsSync(join(ROOT, folder)))
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true }).map(
        (file) => `${folder}/${String(file).replaceAll("\\", "/")}`,
      ),
    )
    .filter((file) => /\.test\.m?ts$/.test(file) && !file.includes("node_modules"));
}

/**
 * The program of an npm package, run by this Node.js so that no shim or shell lies between.
 * @param {string} path inside node_modules
 */
function program(path) {
  return join(ROOT, "node_modules", path);
}

/**
 * @param {string} name one of FAST or SLOW
 * @param {{env: NodeJS.ProcessEnv, deadlineMs: number, onLine?: (line: string) => void, passOn?: string[]}} options
 *   `passOn`: words for vitest, such as a file's name
 * @returns {Promise<Result>}
 */
export async function runSuite(name, { env, deadlineMs, onLine, passOn = [] }) {
  const began = Date.now();
  const folder = mkdtempSync(join(tmpdir(), "berth-report-"));
  const reportFile = join(folder, "report.json");
  const timesFile = join(folder, "times");
  const node = env.BERTH_NODE || "node";
  const remembered = ["--tsBuildInfoFile", program(".cache/berth-check.tsbuildinfo")];
  const commands = /** @type {Record<string, string[]>} */ ({
    types: [program("typescript/bin/tsc"), "--noEmit", "-p", ".", "--incremental", ...remembered],
    lint: [program("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."],
  });
  // A file of these takes minutes: each test is shown as it ends.
  const shown = [...ON_ENGINE, ...Object.keys(APART)].includes(name) ? "verbose" : "default";
  const projects = (PROJECTS[name] ?? [name]).flatMap((project) => ["--project", project]);
  const vitest = [program("vitest/vitest.mjs"), "run", ...projects, `--reporter=${shown}`];
  vitest.push("--reporter=json", `--reporter=${join(ROOT, "scripts/lib/times-reporter.mjs")}`);
  vitest.push(`--outputFile.json=${reportFile}`, ...passOn);
  const args = commands[name] ?? vitest;
  /** @type {string[]} */
  const output = [];
  let exitCode = 1;
  try {
    const { code } = await run(node, args, {
      env: { ...env, NO_COLOR: "1", BERTH_TEST_TIMES: timesFile },
      cwd: ROOT,
      deadlineMs,
      okCodes: [0, 1, 2],
      onLine: (line) => {
        output.push(line);
        onLine?.(line);
      },
    });
    exitCode = code;
  } catch (error) {
    if (!(error instanceof CommandError)) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    output.push(error.message);
  }
  const one = { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
  const said = readJson(reportFile);
  const counts = commands[name] ? one : countReport(said, exitCode);
  const files = existsSync(timesFile) ? readTimes(readFileSync(timesFile, "utf8")) : [];
  rmSync(folder, { recursive: true, force: true });
  return { name, counts, ms: Date.now() - began, files, failures: failed(said), output };
}

/** @param {string} text one JSON object a line @returns {FileTime[]} */
function readTimes(text) {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/**
 * One line about a part.
 * @param {Result} result
 */
export function summary({ name, counts, ms }) {
  const mark = counts.failed > 0 ? "FAILED" : "ok";
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  const what =
    name === "types" || name === "lint" ? "" : `${counts.passed} passed, ${counts.failed} failed${skipped}`;
  return `${name.padEnd(7)} ${mark.padEnd(7)} ${duration(ms).padEnd(12)} ${what}`.trimEnd();
}
