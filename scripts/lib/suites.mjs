/**
 * @file Runs the parts of the test pyramid: types, lint, and vitest's projects.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countReport } from "./counts.mjs";
import { readJson } from "./files.mjs";
import { duration } from "./format.mjs";
import { ROOT } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {import("./counts.mjs").Counts} counts
 * @property {number} ms
 * @property {string[]} output what to show when something failed
 */

/** The fast ones, which run side by side. */
export const FAST = ["types", "lint", "unit"];
/**
 * Programs as processes, ours killed and slowed, and the scripts of stages beside stand-ins: minutes, and no container
 * engine. Then real engines, real nodes.
 */
export const SLOW = ["process", "engine", "e2e"];
/** Those that need Pulumi and a container engine. */
export const ON_ENGINE = ["engine", "e2e"];

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
  const node = env.BERTH_NODE || "node";
  const remembered = ["--tsBuildInfoFile", program(".cache/berth-check.tsbuildinfo")];
  const commands = /** @type {Record<string, string[]>} */ ({
    types: [program("typescript/bin/tsc"), "--noEmit", "-p", ".", "--incremental", ...remembered],
    lint: [program("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."],
  });
  const vitest = [
    program("vitest/vitest.mjs"),
    "run",
    "--project",
    name,
    "--reporter=default",
    "--reporter=json",
  ];
  vitest.push(`--outputFile.json=${reportFile}`, ...passOn);
  const args = commands[name] ?? vitest;
  /** @type {string[]} */
  const output = [];
  let exitCode = 1;
  try {
    const { code } = await run(node, args, {
      env: { ...env, NO_COLOR: "1" },
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
    if (!(error instanceof CommandError)) throw error;
    output.push(error.message);
  }
  const one = { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
  const counts = commands[name] ? one : countReport(readJson(reportFile), exitCode);
  rmSync(folder, { recursive: true, force: true });
  return { name, counts, ms: Date.now() - began, output };
}

/** Whether a part has any test files. */
export function hasTests(/** @type {string} */ name) {
  const folder = join(ROOT, "test", name);
  if (!SLOW.includes(name)) return true;
  return (
    existsSync(folder) &&
    readdirSync(folder, { recursive: true }).some((file) => String(file).match(/\.test\.m?ts$/))
  );
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
