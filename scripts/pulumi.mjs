/**
 * @file `npm run preview | up | destroy`: Pulumi with Berth's backend, plugins and passphrase.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArgs, UsageError } from "./lib/args.mjs";
import { agreed, answerTo } from "./lib/ask.mjs";
import { changeWords, readSteps } from "./lib/change-words.mjs";
import { runMain } from "./lib/main.mjs";
import { PROJECT, ROOT, stackDir } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import {
  callEnvironment,
  ensureHome,
  ownBackend,
  requirePulumi,
  toolEnvironment,
} from "./lib/pulumi-env.mjs";
import { clearLocks, repairPending } from "./lib/recovery.mjs";
import { ensureStack, stackExists } from "./lib/setup.mjs";
import { stackFile, withCleanStackFile } from "./lib/stack-file.mjs";
import { planOptions, update } from "./lib/up.mjs";

const HELP = `npm run preview|up|destroy -- [--stack NAME] [--yes] [--remove] [options of pulumi]

preview shows what up would do: as Pulumi says it, then in words (which steps of a stage, who gets which GPU, whose
workspace goes). up does it, after a question. destroy takes the stack down, homes on local nodes too.

  --stack NAME   the stack; default dev
  --yes          do not ask (needed where there is no terminal)
  --remove       destroy only: also forget the stack itself, with its history

All else goes to pulumi as it is: npm run preview -- --diff

Exit codes: 0 done, 1 refused by the person or failed, 2 wrong options, 130 stopped by Ctrl-C; else Pulumi's own.
`;

await runMain(async () => {
  const [command = "", ...argv] = process.argv.slice(2);
  if (!["preview", "up", "destroy"].includes(command)) throw new UsageError(HELP);
  const { stack, help, flags, rest } = readArgs(argv, { flags: ["yes", "remove"], passThrough: true });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (flags.has("remove") && command !== "destroy") throw new UsageError("--remove: only for destroy.");
  const { env, at } = toolEnvironment();
  requirePulumi(env);
  if (command !== "destroy" && !existsSync(stackFile(stack))) {
    throw new UsageError(
      `There is no Pulumi.${stack}.yaml in ${ROOT}: a stack is described by its file. Copy Pulumi.dev.yaml.`,
    );
  }
  ensureHome(at);
  const note = (/** @type {string} */ text) => process.stderr.write(`${text}\n`);
  if (command === "destroy" && !(await stackExists({ env, cwd: ROOT }, stack))) {
    note(`There is no stack ${stack}: nothing to take down.`);
    return 0;
  }
  // Asked for last: whoever mistypes a name is told so, and not to say --yes to it.
  const terminal = Boolean(process.stdin.isTTY && process.stdout.isTTY);
  if (command !== "preview" && !flags.has("yes") && !terminal) {
    const option = stack === "dev" ? "" : ` --stack ${stack}`;
    throw new UsageError(
      `${command}: there is no terminal to ask on. Say --yes if it is meant: npm run ${command} --${option} --yes`,
    );
  }
  if (command === "destroy" && !flags.has("yes") && !(await confirmDestroy(stack))) return 1;
  await ensureStack({ at, env }, stack);
  if (ownBackend(env, at)) await clearLocks(at, stack, note);
  if (command !== "preview") await repairPending({ at, env, cwd: ROOT }, stack, note);
  const yes = flags.has("yes") || command === "destroy";
  // Whoever chooses what is planned or read knows better.
  const chosen = rest.some((word) => /^(-t|-r|--target|--exclude|--refresh|--import-file)/.test(word));
  const where = { at, env, cwd: ROOT };
  const only = command === "preview" || rest.includes("--preview-only");
  const pulumi = (/** @type {string[]} */ options) => {
    const args = [command, "--stack", stack, ...options, ...rest];
    // What was told above the question is not told once more.
    const told = command === "destroy" || options.includes("--skip-preview");
    const asks = terminal && !options.includes("--yes");
    return withCleanStackFile(at, stack, () => (told ? handOver : inWords)("pulumi", args, env, asks));
  };
  /** @type {number} */
  let code;
  if (command === "up" && !only) {
    // With these Pulumi does not ask either.
    const agreed = yes || rest.some((word) => ["-y", "-f", "--skip-preview"].includes(word));
    const ask = (/** @type {boolean} */ down) => confirmUpdate(stack, down);
    code = await update(where, stack, note, { agreed, chosen, ask, pulumi });
  } else {
    const options = command !== "destroy" && !chosen ? await planOptions(where, stack, note) : [];
    code = await pulumi([...(yes && command !== "preview" ? ["--yes"] : []), ...options]);
  }
  if (
    command === "destroy" &&
    code === 0 &&
    !rest.some((word) => /^(-t|--target|--exclude|--preview-only)/.test(word))
  ) {
    // Keys and known hosts of machines that are no more; with another state they would be made anew anyway.
    rmSync(stackDir(at, stack), { recursive: true, force: true });
    if (flags.has("remove")) {
      // --preserve-config: the committed file Pulumi.<stack>.yaml is the operator's.
      await run("pulumi", ["stack", "rm", stack, "--yes", "--preserve-config"], {
        env,
        cwd: ROOT,
        deadlineMs: 60_000,
      });
      for (const left of [
        `backups/${PROJECT}/${stack}`,
        `stacks/${PROJECT}/${stack}.json.bak`,
        `stacks/${PROJECT}/${stack}.json.bak.attrs`,
      ]) {
        if (ownBackend(env, at)) rmSync(join(at.state, ".pulumi", left), { recursive: true, force: true });
      }
      note(`Stack ${stack} is forgotten; Pulumi.${stack}.yaml stays.`);
    }
  }
  return code;
});

/** @param {string} stack */
async function confirmDestroy(stack) {
  const what = "its nodes, workspaces and all that is stored on local nodes, homes too";
  const question = `This takes down stack ${stack}: ${what}.\nType its name to go on: `;
  return orNothing((await answerTo(question, process.stdout)) === stack);
}

/** @param {boolean} yes */
function orNothing(yes) {
  if (!yes) process.stdout.write("Nothing was done.\n");
  return yes;
}

/**
 * Runs Pulumi with its log of events, and prints what stands there in words.
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @param {boolean} interactive
 */
async function inWords(program, args, env, interactive) {
  const folder = mkdtempSync(join(tmpdir(), "berth-events-"));
  const log = join(folder, "events.jsonl");
  try {
    // The option is there while PULUMI_DEBUG_COMMANDS is set, as Pulumi's own Automation API sets it.
    const more = { ...env, PULUMI_DEBUG_COMMANDS: "true" };
    const code = await handOver(program, [...args, "--event-log", log], more, interactive);
    const json = args.includes("--json") || args.includes("-j");
    const lines =
      json || code !== 0 || !existsSync(log) ? [] : changeWords(readSteps(readFileSync(log, "utf8")));
    if (lines.length > 0) process.stdout.write(`In words:\n${lines.map((line) => `  ${line}\n`).join("")}\n`);
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Pulumi's own question comes too late where containers are brought back beside its plan, and before its plan's words.
 * @param {string} stack
 * @param {boolean} down what is down is brought back too
 */
async function confirmUpdate(stack, down) {
  const more = down ? ", and bring back what is said above to be down" : "";
  return orNothing(await agreed(`Update stack ${stack} so${more}?`, process.stdout));
}

/**
 * Runs Pulumi on this terminal and gives its exit code. Ctrl-C on a terminal reaches it directly; a signal sent to
 * this process alone is handed on.
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @param {boolean} interactive it may ask: it stays in the terminal's foreground
 * @returns {Promise<number>}
 */
function handOver(program, args, env, interactive) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: callEnvironment(env, args),
      cwd: ROOT,
      stdio: "inherit",
      detached: !interactive && process.platform !== "win32",
    });
    let last = 0;
    for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
      process.on(signal, () => {
        if ((interactive && signal === "SIGINT") || Date.now() - last < 1000) return;
        last = Date.now();
        child.kill("SIGINT");
      });
    }
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(signal === "SIGINT" ? 130 : (code ?? 1)));
  });
}
