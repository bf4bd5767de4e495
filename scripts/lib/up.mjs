/**
 * @file `pulumi up` and what is down beside it; for `npm start` with output for people: what goes on now as a moving
 * line, errors whole, all else in the log.
 */
import { lookForDown, previewOptions, startLeft, takeUpDown, tellDown, wouldAct } from "./down.mjs";
import { asLists } from "./outputs.mjs";
import { DEFAULT_STACK, ROOT } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";
import { callEnvironment } from "./pulumi-env.mjs";
import { clearLocks, repairPending } from "./recovery.mjs";
import { withAccess } from "./ssh.mjs";
import { withCleanStackFile } from "./stack-file.mjs";
import { UpReader } from "./up-output.mjs";

/**
 * Says what is down, and gives the options with which Pulumi's preview shows what an update would do about it.
 * @param {import("./down.mjs").Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 * @returns {Promise<string[]>}
 */
export async function planOptions(where, stack, note) {
  const look = await lookForDown(where, stack, note);
  tellDown(look, note);
  return previewOptions(look);
}

/** Where the operator chooses what is planned: nobody is asked, and nothing is brought back. */
const NO_LOOK = { down: [], outputs: {}, silent: false, harmless: false };

/**
 * An update that also brings back what is down. Nothing is changed, the state included, before the operator agreed: the
 * plan is shown first and the question asked here, for Pulumi's own comes before the plan is told in words, and is about
 * its own part alone.
 * @param {import("./down.mjs").Where} where
 * @param {string} stack
 * @param {(line: string) => void} note
 * @param {object} by
 * @param {boolean} by.agreed the operator said `--yes`
 * @param {boolean} by.chosen the operator chooses what is planned, so what is down is not looked for
 * @param {(down: boolean) => Promise<boolean>} by.ask whether what was shown is to be done; `down`: containers are
 *   brought back beside Pulumi's plan
 * @param {(options: string[]) => Promise<number>} by.pulumi runs `pulumi up` with these options; gives its exit code
 * @returns {Promise<number>} the exit code; 1: the operator said no
 */
export async function update(where, stack, note, { agreed, chosen, ask, pulumi }) {
  const look = chosen ? NO_LOOK : await lookForDown(where, stack, note);
  tellDown(look, note);
  if (!agreed) {
    const code = await pulumi(["--preview-only", ...previewOptions(look)]);
    if (code !== 0) return code;
    if (!(await ask(wouldAct(look)))) return 1;
  }
  await takeUpDown(where, stack, look, note);
  const code = await pulumi(agreed ? ["--yes"] : ["--yes", "--skip-preview"]);
  if (code === 0) await startLeft(where, stack, look, note);
  return code;
}

/**
 * @param {import("./context.mjs").Context} context
 * @param {string} stack
 * @param {string} cwd the program's folder
 * @returns {Promise<string>} what changed, in a few words
 * @throws {Error} with Pulumi's diagnostics
 */
export async function runUp(context, stack, cwd) {
  const { at, env, step, ui } = context;
  await clearLocks(at, stack, step.note);
  const repaired = await repairPending({ at, env, cwd }, stack, step.note);
  const where = { at, env, cwd };
  const look = await lookForDown(where, stack, step.note);
  tellDown(look, step.note);
  await takeUpDown(where, stack, look, step.note);
  step.note("pulumi up");
  const reader = await pulumiUp(where, stack, { step, log: (line) => ui.log(line) });
  await startLeft(where, stack, look, step.note);
  const changes = reader.changes.filter((line) => !/unchanged/.test(line));
  const what = changes.length > 0 ? reader.summary() : `no change (${reader.summary()})`;
  return repaired > 0 ? `${what}; ${repaired} interrupted operations repaired` : what;
}

/**
 * Runs `pulumi up` without questions.
 * @param {import("./down.mjs").Where} where
 * @param {string} stack
 * @param {{step: Pick<import("./ui.mjs").Step, "line">, log: (line: string) => void, options?: string[]}} how
 * @returns {Promise<UpReader>} what it printed
 * @throws {Error} with Pulumi's diagnostics
 */
export async function pulumiUp({ at, env, cwd }, stack, { step, log, options = [] }) {
  const reader = new UpReader();
  /** @param {string} line */
  const onLine = (line) => {
    const now = reader.read(line);
    if (now) step.line(now);
    log(`  > ${line}`);
  };
  const args = ["up", "--yes", "--skip-preview", "--non-interactive", "--color", "never", "--stack", stack];
  args.push("--suppress-outputs", "--suppress-progress", ...options);
  try {
    // Pulumi alone gets Ctrl-C: it lets the steps under way end, and notes them in the state.
    await withCleanStackFile(at, stack, () =>
      run("pulumi", args, { env: callEnvironment(env, args), cwd, onLine, interruptGroup: false }),
    );
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const lines = reader.diagnostics.length > 0 ? reader.diagnostics : error.output;
    throw new Error(`pulumi up failed:\n${lines.join("\n").trim()}`);
  }
  return reader;
}

/**
 * The stack's outputs, `nodes` and `users` as lists; secrets show as "[secret]".
 * @param {{env: NodeJS.ProcessEnv}} context
 * @param {string} stack
 * @param {string} cwd
 * @returns {Promise<Record<string, any>>}
 */
export async function readOutputs({ env }, stack, cwd) {
  const args = ["stack", "output", "--json", "--stack", stack];
  return asLists(JSON.parse((await run("pulumi", args, { env, cwd, deadlineMs: 60_000 })).stdout));
}

/**
 * The outputs of a stack that has nodes, with how each is signed in to.
 * @param {NodeJS.ProcessEnv} env
 * @param {string} stack
 * @param {string} folder the stack's
 * @returns {Promise<import("./live.mjs").Outputs>}
 * @throws {Error} there is no such stack, or it has no nodes
 */
export async function readCluster(env, stack, folder) {
  const outputs = await readOutputs({ env }, stack, ROOT).catch((error) => {
    const none = /no stack named|no previous deployment/;
    if (!(error instanceof CommandError) || !none.test(error.output.join("\n"))) throw error;
    const option = stack === DEFAULT_STACK ? "" : ` -- --stack ${stack}`;
    throw new Error(`There is no stack ${stack} yet. Make it: npm start${option}`);
  });
  if (!outputs.nodes)
    throw new Error(`Stack ${stack} has no nodes yet: its \`up\` has not ended, or it was destroyed.`);
  return withAccess(outputs, folder);
}
