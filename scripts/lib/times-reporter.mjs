/**
 * @file A reporter for vitest: writes what each test file took, with its hooks, which the JSON report leaves out, into
 * the file that BERTH_TEST_TIMES names: one JSON object a line, written as each file ends.
 */
import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import { ROOT } from "./paths.mjs";

export default class TimesReporter {
  /** @param {{moduleId: string, diagnostic(): {duration: number, collectDuration: number, setupDuration: number}}} module */
  onTestModuleEnd(module) {
    const to = process.env.BERTH_TEST_TIMES;
    if (!to) return;
    const { duration, collectDuration, setupDuration } = module.diagnostic();
    const file = relative(ROOT, module.moduleId).replaceAll("\\", "/");
    const ms = Math.round(duration + collectDuration + setupDuration);
    appendFileSync(to, `${JSON.stringify({ file, ms })}\n`);
  }
}
