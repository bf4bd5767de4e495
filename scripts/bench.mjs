/**
 * @file `npm run bench`: runs test/bench/*.bench.mjs and *.bench.ts, one after the other; each prints its numbers and
 * ends with an exit code other than 0 when a bound is broken.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readArgs } from "./lib/args.mjs";
import { duration } from "./lib/format.mjs";
import { runMain } from "./lib/main.mjs";
import { ROOT } from "./lib/paths.mjs";
import { CommandError, handleSignals, run } from "./lib/process.mjs";
import { toolEnvironment } from "./lib/pulumi-env.mjs";

const HELP = `npm run bench -- [--json] [NAME…]

Runs the measurements in test/bench, or those whose file names hold a NAME.

  --json   each figure as a line of JSON instead of a table

Exit codes: 0 all bounds hold, 1 one is broken or a measurement failed, 2 wrong options, 130 stopped by Ctrl-C.
`;

/** One measurement brings up whole clusters more than once. */
const DEADLINE_MS = 90 * 60_000;

await runMain(async () => {
  const { help, flags, rest } = readArgs(process.argv.slice(2), { flags: ["json"], passThrough: true });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  handleSignals();
  const folder = join(ROOT, "test/bench");
  const files = existsSync(folder)
    ? readdirSync(folder).filter((file) => /\.bench\.(mjs|ts)$/.test(file))
    : [];
  const chosen = files.filter((file) => rest.length === 0 || rest.some((name) => file.includes(name))).sort();
  if (chosen.length === 0)
    throw new Error(`No measurement ${rest.join(", ")} in ${folder}. There: ${files.join(", ") || "none"}.`);
  const { env } = toolEnvironment();
  const { stdout } = process;
  const about = flags.has("json") ? process.stderr : stdout;
  const broken = [];
  for (const file of chosen) {
    const began = Date.now();
    about.write(`==== ${file}\n`);
    try {
      const onLine = (/** @type {string} */ line) => stdout.write(`${line}\n`);
      const args = [join(folder, file), ...(flags.has("json") ? ["--json"] : [])];
      await run("node", args, { env, cwd: ROOT, onLine, deadlineMs: DEADLINE_MS });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (chosen.length > 1 || error.code !== 1) about.write(`${error.message}\n`);
      broken.push(file);
    }
    // One alone has the last word: programs read its last line.
    if (chosen.length > 1) about.write(`==== ${file}: ${duration(Date.now() - began)}\n`);
  }
  if (broken.length > 0 && chosen.length > 1) about.write(`Broken bounds: ${broken.join(", ")}\n`);
  return broken.length > 0 ? 1 : 0;
});
