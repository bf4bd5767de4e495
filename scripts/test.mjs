/**
 * @file `npm test`: everything, from what is missing on this computer to real nodes. Ends with "N passed, N failed".
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { canInstall, install } from "./lib/apt.mjs";
import { readArgs, UsageError } from "./lib/args.mjs";
import { readRecord, writeRecord } from "./lib/context.mjs";
import { lastLine, sum } from "./lib/counts.mjs";
import { stopEngine } from "./lib/docker.mjs";
import { runMain } from "./lib/main.mjs";
import { places } from "./lib/paths.mjs";
import { handleSignals } from "./lib/process.mjs";
import { ensureHome, pulumiVariables } from "./lib/pulumi-env.mjs";
import { ensureNodeAndPackages, inStep, newContext, SETUP_STEPS, setUp } from "./lib/setup.mjs";
import { takeTurn } from "./lib/single.mjs";
import { FAST, hasTests, ON_ENGINE, runSuite, SLOW, summary } from "./lib/suites.mjs";
import { missingTools } from "./lib/test-tools.mjs";
import { Ui } from "./lib/ui.mjs";

const HELP = `npm test -- [--only unit|process|engine|e2e] [--deadline MINUTES] [FILE…]

Brings what is missing, then runs types, lint, unit tests, tests of programs and scripts as processes, engine
tests (real pulumi up) and end-to-end tests (real nodes, real clients). The last line is "N passed, N failed";
exit code 1 when any failed.

  --only PART          only this part; unit: types and lint too; unit and process: without a container engine
  --deadline MINUTES   for all of it; default 85
`;

/** @type {import("./lib/suites.mjs").Result[]} */
const results = [];

await runMain(async () => {
  const { help, values, rest } = readArgs(process.argv.slice(2), {
    values: ["only", "deadline"],
    passThrough: true,
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const parts = chosenParts(values.only);
  const minutes = Number(values.deadline ?? 85);
  if (!(minutes > 0))
    throw new UsageError(`--deadline: ${JSON.stringify(values.deadline)} is no number of minutes.`);
  const end = Date.now() + minutes * 60_000;
  const at = places();
  ensureHome(at);
  const endTurn = await takeTurn(join(at.home, "test.lock"), "npm test");
  let code = 1;
  /** @type {import("./lib/context.mjs").Context | undefined} */
  let context;
  try {
    const slow = parts.filter((part) => SLOW.includes(part));
    const engine = parts.some((part) => ON_ENGINE.includes(part));
    const ui = new Ui({ logs: at.logs, name: "test", total: (engine ? SETUP_STEPS : 2) + 1 });
    handleSignals();
    context = newContext(ui);
    const before = context.found.docker?.started?.pid;
    if (engine) await setUp(context);
    else await ensureNodeAndPackages(context);
    await inStep(context, "Test tools", async (now) => ({
      way: await ensureTestTools(now, parts),
      value: undefined,
    }));
    ui.say();
    if (context.found.docker?.started?.pid === before) delete context.found.docker?.started;
    // Tests fail without these programs, where `npm run check` leaves them out.
    const env = { ...testEnvironment(context), BERTH_TEST_TOOLS: "required" };
    const options = () => ({ env, deadlineMs: Math.max(1000, end - Date.now()), passOn: rest });
    const fast = parts.filter((part) => FAST.includes(part));
    // The unit tests by themselves: many wait for processes, which a compiler beside them would starve.
    const checks = fast.filter((name) => name !== "unit");
    report(ui, await Promise.all(checks.map((name) => runSuite(name, options()))));
    if (fast.includes("unit")) report(ui, [await runSuite("unit", options())]);
    for (const name of slow) {
      const onLine = (/** @type {string} */ line) => ui.say(`  ${line}`);
      if (hasTests(name)) report(ui, [await runSuite(name, { ...options(), onLine })]);
      else ui.say(`${name}: no tests there`);
    }
    code = results.length > 0 && results.every(({ counts }) => counts.failed === 0) ? 0 : 1;
  } catch (error) {
    results.push({ name: "npm test", counts: { passed: 0, failed: 1, skipped: 0 }, ms: 0, output: [] });
    process.stderr.write(`\n${error instanceof Error ? error.message : error}\n`);
    code = /** @type {any} */ (error)?.exitCode ?? 1;
  } finally {
    // Only what this run started: with containers of others on it, it was there before.
    // A test may have restarted it, which is in the record.
    if (context?.found.docker?.started) {
      const { started } = readRecord(at).docker ?? {};
      if (started) await stopEngine(started);
    }
    endTurn();
  }
  const total = sum(results.map(({ counts }) => counts));
  process.stdout.write(`\n${results.map(summary).join("\n")}\n\n${lastLine(total)}\n`);
  return code;
});

/**
 * @param {string | undefined} only
 * @returns {string[]}
 */
function chosenParts(only) {
  if (only === undefined) return [...FAST, ...SLOW];
  if (only === "unit") return FAST;
  if (SLOW.includes(only)) return [only];
  throw new UsageError(`--only: ${JSON.stringify(only)} is not a part. Allowed: unit, ${SLOW.join(", ")}.`);
}

/**
 * @param {Ui} ui
 * @param {import("./lib/suites.mjs").Result[]} done
 */
function report(ui, done) {
  for (const result of done) {
    results.push(result);
    // The slow ones showed theirs as they ran.
    if (result.counts.failed > 0 && FAST.includes(result.name))
      ui.say(`---- ${result.name}\n${result.output.join("\n").trim()}\n`);
    ui.say(summary(result));
  }
}

/**
 * @param {import("./lib/context.mjs").Context} context
 * @param {string[]} parts
 */
async function ensureTestTools(context, parts) {
  const wanted = missingTools(parts, context.env);
  if (wanted.length === 0) return "there before";
  const names = wanted.map((tool) => tool.package);
  if (!canInstall(context.env))
    return `missing, and not to be installed by this account: ${names.join(", ")}`;
  await install(context, names);
  return `installed ${names.join(", ")}`;
}

/**
 * The tests get a home of their own, so that they never meet the stacks of the person who runs them. It is kept:
 * after a killed run the next one finds what is to be taken down.
 * @param {import("./lib/context.mjs").Context} context
 */
function testEnvironment({ at, env, found }) {
  const home = process.env.BERTH_TEST_HOME || join(at.home, "test");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  /** @type {NodeJS.ProcessEnv} */
  const own = { ...env, BERTH_HOME: home, BERTH_CACHE: at.cache };
  // Only an engine that this run started may be restarted by a test.
  if (found.docker?.started) own.BERTH_TEST_ENGINE = at.home;
  for (const name of [
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_STACK",
  ]) {
    delete own[name];
  }
  const there = places(own);
  ensureHome(there);
  writeRecord(there, { ...found, docker: found.docker && { ...found.docker, started: undefined } });
  return { ...own, ...pulumiVariables(own, there) };
}
