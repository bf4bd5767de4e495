/**
 * @file `npm test`: everything, from what is missing on this computer to real nodes. Ends with "N passed, N failed".
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readArgs, readMinutes, UsageError } from "./lib/args.mjs";
import { readRecord } from "./lib/context.mjs";
import { lastLine, sum } from "./lib/counts.mjs";
import { stopEngine } from "./lib/docker.mjs";
import { duration } from "./lib/format.mjs";
import {
  knownTimes,
  LAST,
  laneGroups,
  meanShare,
  overBudget,
  processorShare,
  renderTimes,
  roomForTwo,
  slowest,
  TIMES,
} from "./lib/lanes.mjs";
import { runMain } from "./lib/main.mjs";
import { places, ROOT } from "./lib/paths.mjs";
import { CommandError, handleSignals, run } from "./lib/process.mjs";
import { ensureHome } from "./lib/pulumi-env.mjs";
import { ensureNodeAndPackages, inStep, newContext, SETUP_STEPS, setUp } from "./lib/setup.mjs";
import { takeTurn } from "./lib/single.mjs";
import { concerned, FAST, ON_ENGINE, ON_IMAGES, PARTS, partsOf, runSuite, summary } from "./lib/suites.mjs";
import { ensureTestTools, testEnvironment } from "./lib/test-setup.mjs";
import { told, Ui } from "./lib/ui.mjs";

const HELP = `npm test -- [--only PART] [--lanes 1|2] [--deadline MINUTES] [--remember-times] [FILE…]

Brings what is missing, then runs types, lint and unit tests, then two lanes side by side where 16 GB of memory are
free: "nodes" (a real Pulumi with small programs, machines by themselves) and "stacks" (programs as processes, whole
stacks with real clients), then what nothing may run beside. At the end: the slowest files, what each lane took of its
budget, and "N passed, N failed".

  --only PART          ${PARTS.join(", ")}; unit: types and lint too;
                       e2e: nodes, stacks and last; unit and process need no container engine
  --lanes 1|2          one lane after the other, or both side by side, whatever the memory
  --deadline MINUTES   for all of it; default 85
  --remember-times     write what each file took into ${TIMES}, which the next over-long lane is compared with

Exit codes: 0 all passed, 1 a test failed or a lane was over its budget, 2 wrong options, 130 stopped by Ctrl-C.
`;

/** @type {import("./lib/suites.mjs").Result[]} */
const results = [];
/** What is wrong with the run besides its tests. @type {string[]} */
const faults = [];

await runMain(async () => {
  const { help, values, flags, rest } = readArgs(process.argv.slice(2), {
    values: ["only", "deadline", "lanes"],
    flags: ["remember-times"],
    passThrough: true,
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const parts = chosenParts(values.only, rest);
  const deadlineMs = readMinutes("--deadline", values.deadline, 85);
  if (values.lanes !== undefined && !["1", "2"].includes(values.lanes))
    throw new UsageError(`--lanes: ${JSON.stringify(values.lanes)} is neither 1 nor 2.`);
  const end = Date.now() + deadlineMs;
  const at = places();
  ensureHome(at);
  const endTurn = await takeTurn(join(at.home, "test.lock"), "npm test");
  let code = 1;
  /** @type {import("./lib/context.mjs").Context | undefined} */
  let context;
  /** @type {import("./lib/lanes.mjs").LaneTime[]} */
  const lanes = [];
  /** @type {Promise<void>} */
  let images = Promise.resolve();
  try {
    const engine = parts.some((part) => ON_ENGINE.includes(part));
    const ui = new Ui({ logs: at.logs, name: "test", total: (engine ? SETUP_STEPS : 2) + 1 });
    handleSignals();
    context = newContext(ui);
    const running = context.found.docker?.started?.pid;
    if (engine) await setUp(context);
    else await ensureNodeAndPackages(context);
    await inStep(context, "Test tools", async (now) => told(await ensureTestTools(now, parts)));
    ui.say();
    if (context.found.docker?.started?.pid === running) delete context.found.docker?.started;
    // Tests fail without these programs, where `npm run check` leaves them out.
    const env = /** @type {NodeJS.ProcessEnv} */ ({
      ...testEnvironment(context),
      BERTH_TEST_TOOLS: "required",
    });
    const options = () => ({ env, deadlineMs: Math.max(1000, end - Date.now()), passOn: rest });
    const before = await processorShare();
    const fast = parts.filter((part) => FAST.includes(part));
    // The unit tests by themselves: many wait for processes, which a compiler beside them would starve.
    const checks = fast.filter((name) => name !== "unit");
    report(ui, await Promise.all(checks.map((name) => runSuite(name, options()))));
    if (fast.includes("unit")) report(ui, [await runSuite("unit", options())]);
    // On a computer that has none yet, beside the tests that need none.
    if (parts.some((part) => ON_IMAGES.includes(part))) images = buildImages(ui, options());
    images.catch(() => {}); // Told by whoever waits for it.

    // The stack that the last part ends is left to it, unless words for vitest may leave that out.
    const all = rest.length === 0 && parts.includes("stacks") && parts.includes(LAST.name);
    if (all) env.BERTH_TEST_LAST = "to come";
    for (const group of laneGroups(parts, { sideBySide: sideBySide(ui, parts, values.lanes) })) {
      const mark = (/** @type {string} */ lane) => (group.length > 1 ? lane.padEnd(7) : " ");
      const ended = await Promise.allSettled(
        group.map((lane) => runLane(ui, lane, { images, options, mark: mark(lane.name) })),
      );
      // Only when all have ended: what one of them does must not be cut off by another's error.
      for (const one of ended) {
        if (one.status === "rejected") throw one.reason;
        lanes.push(one.value);
      }
    }
    await images;
    judge(ui, lanes, meanShare([before, await processorShare()]));
    if (flags.has("remember-times"))
      writeFileSync(join(ROOT, TIMES), renderTimes(results.flatMap(({ files }) => files)));
    code = results.length > 0 && results.every(({ counts }) => counts.failed === 0) ? 0 : 1;
  } catch (error) {
    results.push({
      ...{ name: "npm test", counts: { passed: 0, failed: 1, skipped: 0 } },
      ...{ ms: 0, files: [], failures: [], output: [] },
    });
    process.stderr.write(`\n${error instanceof Error ? error.message : error}\n`);
    code = /** @type {any} */ (error)?.exitCode ?? 1;
  } finally {
    await images.catch(() => {});
    // Only what this run started: with containers of others on it, it was there before.
    // A test may have restarted it, which is in the record.
    if (context?.found.docker?.started) {
      const { started } = readRecord(at).docker ?? {};
      if (started) await stopEngine(started);
    }
    endTurn();
  }
  const total = sum(results.map(({ counts }) => counts));
  total.failed += faults.length;
  process.stdout.write(`\n${results.map(summary).join("\n")}\n\n${lastLine(total)}\n`);
  return faults.length > 0 ? 1 : code;
});

/**
 * @param {string | undefined} only
 * @param {string[]} words for vitest
 * @returns {string[]}
 */
function chosenParts(only, words) {
  const parts = partsOf(only);
  if (!parts)
    throw new UsageError(`--only: ${JSON.stringify(only)} is not a part. Allowed: ${PARTS.join(", ")}.`);
  return concerned(parts, words);
}

/**
 * @param {Ui} ui
 * @param {string[]} parts
 * @param {string | undefined} wanted number of lanes
 * @returns {boolean} whether two lanes run at the same time
 */
function sideBySide(ui, parts, wanted) {
  if (laneGroups(parts, { sideBySide: true }).every((group) => group.length < 2)) return false;
  const { yes, why } = roomForTwo();
  const two = wanted === undefined ? yes : wanted === "2";
  ui.say(`${two ? "Two lanes side by side" : "One lane after the other"}: ${wanted ? "as asked for" : why}.`);
  return two;
}

/**
 * Runs a lane's parts. The time in which it waits for images that are built is none of its own.
 * @param {Ui} ui
 * @param {import("./lib/lanes.mjs").Lane} lane
 * @param {{images: Promise<void>, options: () => Parameters<typeof runSuite>[1], mark: string}} how
 *   `mark`: before each line
 * @returns {Promise<import("./lib/lanes.mjs").LaneTime>}
 */
async function runLane(ui, lane, { images, options, mark }) {
  let ms = 0;
  const files = [];
  for (const name of lane.parts) {
    if (ON_IMAGES.includes(name)) await images;
    const now = options();
    // It takes the last stack down: also where all else has taken too long.
    if (name === LAST.name) now.deadlineMs = Math.max(now.deadlineMs, 15 * 60_000);
    const result = await runSuite(name, { ...now, onLine: (line) => ui.say(`${mark} ${line}`) });
    report(ui, [result]);
    ms += result.ms;
    files.push(...result.files);
  }
  return { lane, ms, files };
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
 * Builds the images that nodes and stacks are made of, where they are missing. A build that fails fails the tests that
 * need its image, which say why.
 * @param {Ui} ui
 * @param {{env: NodeJS.ProcessEnv, deadlineMs: number}} options
 */
async function buildImages(ui, { env, deadlineMs }) {
  const onLine = (/** @type {string} */ line) => ui.say(`images  ${line}`);
  for (const name of ["node", "registry", "agent", "workspace", "dev"]) {
    const args = [join(ROOT, "scripts/image.mjs"), "build", name];
    try {
      await run(env.BERTH_NODE || "node", args, {
        ...{ env, cwd: ROOT, deadlineMs },
        onLine: (line, stream) => stream === "stderr" && onLine(line),
      });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      ui.say(`images  ${error.message}`);
    }
  }
}

/**
 * Says what took how long, and notes each lane that was over its budget.
 * @param {Ui} ui
 * @param {import("./lib/lanes.mjs").LaneTime[]} lanes
 * @param {number} share
 */
function judge(ui, lanes, share) {
  const known = knownTimes();
  ui.say();
  for (const name of results.flatMap(({ failures }) => failures)) ui.say(`FAILED  ${name}`);
  ui.say("Slowest files:");
  for (const line of slowest(
    results.flatMap(({ files }) => files),
    known,
  ))
    ui.say(line);
  for (const { lane, ms } of lanes)
    ui.say(`lane ${lane.name}: ${duration(ms)} of ${duration((lane.minutes * 60_000) / share)}`);
  for (const time of lanes) {
    const fault = overBudget(time, { known, share });
    if (fault === undefined) continue;
    faults.push(fault);
    ui.say(`FAILED  ${fault}`);
  }
}
