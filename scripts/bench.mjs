/**
 * @file `npm run bench`: runs test/bench/*.bench.mjs and *.bench.ts, one after the other; each prints its numbers and
 * ends with an exit code other than 0 when a bound is broken. With `--against` each is run in turn with another
 * checkout's own, and their figures are compared.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { readArgs, UsageError } from "./lib/args.mjs";
import { which } from "./lib/files.mjs";
import { duration, table } from "./lib/format.mjs";
import { runMain } from "./lib/main.mjs";
import { comparePairs, readFigures, WORSE } from "./lib/pairs.mjs";
import { ROOT } from "./lib/paths.mjs";
import { CommandError, handleSignals, run } from "./lib/process.mjs";
import { toolEnvironment } from "./lib/pulumi-env.mjs";

const HELP = `npm run bench -- [--json] [--against FOLDER [--pairs N]] [NAME…]

Runs the measurements in test/bench, or those whose file names hold a NAME.

  --json             each figure as a line of JSON instead of a table
  --against FOLDER   measures in turn with the checkout in FOLDER, where "npm ci" ran, and compares the figures pair by
                     pair; each side gets plugins made from its own sources, and a cluster of its own that stays up
                     from its first turn to its last (where a measurement fails they stay up, for the next)
  --pairs N          how often each side is measured; default 9

Exit codes: 0 all bounds hold (with --against: no figure is worse by more than ${100 * WORSE} %), 1 one does not or a
measurement failed, 2 wrong options, 130 stopped by Ctrl-C.
`;

/** One measurement brings up whole clusters more than once. */
const DEADLINE_MS = 90 * 60_000;

await runMain(async () => {
  const { help, flags, values, rest } = readArgs(process.argv.slice(2), {
    ...{ flags: ["json"], values: ["against", "pairs"] },
    passThrough: true,
  });
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
  if (values.pairs !== undefined && values.against === undefined)
    throw new UsageError("--pairs: only with --against FOLDER.");
  if (values.against !== undefined) return against(values.against, chosen, readPairs(values.pairs), flags);
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

/** @param {string | undefined} said */
function readPairs(said) {
  const pairs = Number(said ?? 9);
  if (!Number.isInteger(pairs) || pairs < 1)
    throw new UsageError(`--pairs: ${JSON.stringify(said)} is no number of pairs. Allowed: 1 and more.`);
  return pairs;
}

/**
 * Measures both checkouts in turn and compares their figures.
 * @param {string} given the other checkout's folder
 * @param {string[]} files of measurements
 * @param {number} count of pairs
 * @param {Set<string>} flags
 * @returns {Promise<number>} the exit code
 */
async function against(given, files, count, flags) {
  const folder = resolve(given);
  for (const path of ["node_modules", ...files.map((file) => `test/bench/${file}`)])
    if (!existsSync(join(folder, path)))
      throw new UsageError(
        `--against: there is no ${path} in ${folder}. It takes a checkout that has the same measurements, where "npm ci" ran.`,
      );
  const homes = mkdtempSync(join(tmpdir(), "berth-bench-plugins-"));
  let code = 0;
  try {
    const sides = {
      ours: await side(ROOT, join(homes, "ours")),
      theirs: await side(folder, join(homes, "theirs")),
    };
    for (const file of files) {
      const pairs = [];
      for (let pair = 0; pair < count; pair++) {
        process.stderr.write(`==== ${file}: pair ${pair + 1} of ${count}\n`);
        const turn = { BERTH_BENCH_KEEP: pair + 1 < count ? "1" : "last" };
        const theirs = await sides.theirs(file, { ...turn, BERTH_BENCH_SIDE: "theirs" });
        pairs.push({ theirs, ours: await sides.ours(file, { ...turn, BERTH_BENCH_SIDE: "ours" }) });
      }
      const compared = comparePairs(pairs);
      if (compared.length === 0) throw new Error(`${file}: the two checkouts have no figure in common.`);
      if (compared.some(({ worse }) => worse)) code = 1;
      tellCompared(compared, pairs.length, flags.has("json"));
    }
  } finally {
    rmSync(homes, { recursive: true, force: true });
  }
  return code;
}

/**
 * One checkout, with Pulumi plugins made from its own sources.
 * @param {string} root
 * @param {string} home its PULUMI_HOME
 * @returns {Promise<(file: string, turn: NodeJS.ProcessEnv) => Promise<import("./lib/pairs.mjs").Figure[]>>} runs a
 *   measurement; `turn`: what test/bench/stack.mjs is told
 */
async function side(root, home) {
  const { env, at } = toolEnvironment({ ...process.env, PULUMI_HOME: home });
  const { ensurePlugins } = await import(pathToFileURL(join(root, "scripts/plugins.mjs")).href);
  await ensurePlugins({ cacheDir: at.cache, pulumi: which("pulumi", env) ?? "pulumi", home });
  return async (file, turn) => {
    const args = [join(root, "test/bench", file), "--json"];
    const options = { env: { ...env, ...turn }, cwd: root, deadlineMs: DEADLINE_MS, okCodes: [0, 1] };
    const { stdout, stderr } = await run("node", args, options);
    const figures = readFigures(stdout);
    if (figures.length === 0) throw new Error(`${file} in ${root} gave no figure:\n${stderr}${stdout}`);
    return figures;
  };
}

/**
 * @param {import("./lib/pairs.mjs").Compared[]} compared
 * @param {number} pairs
 * @param {boolean} json
 */
function tellCompared(compared, pairs, json) {
  if (json) {
    for (const one of compared) process.stdout.write(`${JSON.stringify({ ...one, pairs })}\n`);
    return;
  }
  const share = (/** @type {number} */ value) => `${value >= 0 ? "+" : ""}${(100 * value).toFixed(1)} %`;
  const rows = compared.map(({ name, ours, theirs, change, least, most, worse }) => [
    ...[name, theirs.toFixed(3), ours.toFixed(3), share(change)],
    ...[`${share(least)} to ${share(most)}`, worse ? "WORSE" : ""],
  ]);
  process.stdout.write(`${table(["figure", "theirs", "ours", `median of ${pairs}`, "pairs", ""], rows)}\n`);
}
