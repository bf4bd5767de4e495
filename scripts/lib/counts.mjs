/**
 * @file Sums up what the test runners say.
 */
import { relative } from "node:path";
import { ROOT } from "./paths.mjs";

/** @typedef {{passed: number, failed: number, skipped: number}} Counts */

/**
 * Counts from vitest's JSON report. What is not a test but went wrong (a file that cannot be read, an error outside
 * any test, no report at all) counts as one failure, so that it cannot be overlooked.
 * @param {any} report the parsed file; undefined: there is none
 * @param {number} exitCode vitest's
 * @returns {Counts}
 */
export function countReport(report, exitCode) {
  const passed = Number(report?.numPassedTests ?? 0);
  let failed = Number(report?.numFailedTests ?? 0);
  const skipped = Number(report?.numPendingTests ?? 0) + Number(report?.numTodoTests ?? 0);
  for (const file of report?.testResults ?? []) {
    const tests = file.assertionResults ?? [];
    const blamed = tests.some((/** @type {{status: string}} */ test) => test.status === "failed");
    if (file.status === "failed" && !blamed) failed += 1;
  }
  const wrong = exitCode !== 0 || report === undefined || report.success === false;
  if (wrong && failed === 0) failed = 1;
  if (passed + failed === 0) failed = 1; // A run in which nothing ran proves nothing.
  return { passed, failed, skipped };
}

/**
 * The tests of vitest's JSON report that failed, each as `FILE > NAME`; a file that could not be read by its name.
 * @param {any} report
 * @returns {string[]}
 */
export function failed(report) {
  return (report?.testResults ?? []).flatMap((/** @type {any} */ file) => {
    const name = relative(ROOT, String(file.name)).replaceAll("\\", "/");
    const tests = (file.assertionResults ?? []).filter(
      (/** @type {{status: string}} */ test) => test.status === "failed",
    );
    if (tests.length === 0) return file.status === "failed" ? [name] : [];
    return tests.map((/** @type {{fullName: string}} */ test) => `${name} > ${test.fullName}`);
  });
}

/**
 * @param {Counts[]} all
 * @returns {Counts}
 */
export function sum(all) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of all) {
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
}

/**
 * The last line of `npm test`.
 * @param {Counts} counts
 */
export function lastLine({ passed, failed }) {
  return `${passed} passed, ${failed} failed`;
}
