/**
 * @file `pulumi up` with output for people: what goes on now as a moving line, errors whole, all else in the log.
 */
import { takeUpDown } from "./down.mjs";
import { asLists } from "./outputs.mjs";
import { CommandError, run } from "./process.mjs";
import { clearLocks, repairPending } from "./recovery.mjs";
import { withCleanStackFile } from "./stack-file.mjs";
import { UpReader } from "./up-output.mjs";

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
  await takeUpDown({ at, env, cwd }, stack, step.note);
  step.note("pulumi up");
  const reader = new UpReader();
  /** @param {string} line */
  const onLine = (line) => {
    const now = reader.read(line);
    if (now) step.line(now);
    ui.log(`  > ${line}`);
  };
  const args = ["up", "--yes", "--skip-preview", "--non-interactive", "--color", "never", "--stack", stack];
  args.push("--suppress-outputs", "--suppress-progress");
  try {
    // Pulumi alone gets Ctrl-C: it lets the steps under way end, and notes them in the state.
    await withCleanStackFile(at, stack, () =>
      run("pulumi", args, { env, cwd, onLine, interruptGroup: false }),
    );
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const lines = reader.diagnostics.length > 0 ? reader.diagnostics : error.output;
    throw new Error(`pulumi up failed:\n${lines.join("\n").trim()}`);
  }
  const changes = reader.changes.filter((line) => !/unchanged/.test(line));
  const what = changes.length > 0 ? reader.summary() : `no change (${reader.summary()})`;
  return repaired > 0 ? `${what}; ${repaired} interrupted operations repaired` : what;
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
