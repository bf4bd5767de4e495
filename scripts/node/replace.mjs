/**
 * @file Makes a node's machine anew by Pulumi. Volumes are resources of their own, which a preview must leave alone.
 */
import { ROOT } from "../lib/paths.mjs";
import { CommandError, run } from "../lib/process.mjs";
import { callEnvironment } from "../lib/pulumi-env.mjs";
import { clearLocks, repairPending } from "../lib/recovery.mjs";
import { withCleanStackFile } from "../lib/stack-file.mjs";
import { told } from "../lib/ui.mjs";
import { pulumiUp } from "../lib/up.mjs";
import { inStep } from "./job.mjs";
import { readJournal, writeJournal } from "./journal.mjs";
import { machineOf, noticeFor, previewLines, previewProblems } from "./plan.mjs";
import { onNode } from "./remote.mjs";
import { tell } from "./workspaces.mjs";

/** Far more than a preview takes: it connects to nothing. */
const PREVIEW_MS = 5 * 60_000;

/**
 * @typedef {object} Replacement
 * @property {string | undefined} urn of the machine; undefined: an earlier run has replaced it already
 * @property {string} machine the id that the machine had before
 * @property {string[]} lines what Pulumi will do, for people
 */

/** The program lets the node's user data change when this names it (components/node). */
const environment = (/** @type {import("./job.mjs").Job} */ { way, node }) => ({
  ...way.env,
  BERTH_REPLACE_NODE: node.name,
});

/**
 * Looks at what Pulumi would do.
 * @param {import("./job.mjs").Job} job
 * @returns {Promise<Replacement>}
 * @throws {Error} when it would touch a volume or another machine, or there is nothing to replace
 */
export async function previewReplacement(job) {
  const { at, stack, node } = job;
  const env = environment(job);
  const machine = await inStep(job, "State", async (step) => {
    await clearLocks(at, stack, step.note);
    await repairPending({ at, env, cwd: ROOT }, stack, step.note);
    const args = ["stack", "export", "--stack", stack];
    const { stdout } = await run("pulumi", args, { env, cwd: ROOT, deadlineMs: 60_000 });
    const found = machineOf(JSON.parse(stdout).deployment?.resources ?? [], node.name);
    return { way: found ? `machine ${shortId(found.id)}` : "no machine", value: found };
  });
  const before = readJournal(job)?.machine;
  const done = typeof before === "string" && before !== machine?.id;
  if (!machine && !done)
    throw new Error(`${node.name} has no machine in the state of stack ${stack}: npm run up makes it.`);
  const urn = done ? undefined : machine?.urn;
  const steps = await inStep(job, "Preview", async () => {
    const args = ["preview", "--json", "--non-interactive", "--stack", stack, ...replacing(urn)];
    const { stdout } = await withCleanStackFile(at, stack, () =>
      run("pulumi", args, {
        ...{ env: callEnvironment(env, args), cwd: ROOT },
        ...{ deadlineMs: PREVIEW_MS, interruptGroup: false },
      }),
    ).catch((error) => {
      throw error instanceof CommandError
        ? new Error(`pulumi preview failed:\n${diagnosticsOf(error.output).join("\n")}`)
        : error;
    });
    const value = /** @type {import("./plan.mjs").PreviewStep[]} */ (JSON.parse(stdout).steps ?? []);
    return { way: `${previewLines(value).length} changes`, value };
  });
  const problems = previewProblems(steps, node.name);
  if (problems.length > 0) {
    throw new Error(
      `Replacing ${node.name} would touch more than it should, so nothing was done:\n${problems.map((line) => `  ${line}`).join("\n")}\n` +
        "Other changes of the stack's file go first: npm run preview, npm run up.",
    );
  }
  return {
    urn,
    machine: urn === undefined ? String(before) : (machine?.id ?? ""),
    lines: previewLines(steps),
  };
}

/** @param {string | undefined} urn */
const replacing = (urn) => (urn === undefined ? [] : ["--replace", urn]);

/** @param {string | undefined} id */
const shortId = (id = "?") => id.slice(0, 12);

/** @param {string[]} lines the end of a preview's JSON and what it said beside */
const diagnosticsOf = (lines) =>
  lines.filter((line) => /error|"message"|denied|refus/i.test(line)).slice(-12);

/**
 * Replaces the machine, and brings everything on it.
 * @param {import("./job.mjs").Job} job
 * @param {Replacement} replacement
 * @param {import("./plan.mjs").Mark | undefined} mark undefined: the node could not be drained
 * @throws {Error} with Pulumi's diagnostics
 */
export async function replaceMachine(job, { urn, machine }, mark) {
  const { at, stack, node } = job;
  const env = environment(job);
  await inStep(job, "Machine replaced", async (step) => {
    if (mark) {
      const about = {
        command: job.command,
        node: node.name,
        reason: mark.reason,
        deadline: mark.deadline,
        now: true,
        lost: job.filesGo,
      };
      await tell(job, node, noticeFor(about), "place");
      await onNode(job.way, node, "sync", { deadlineMs: 120_000 });
    }
    writeJournal(job, { mark, machine });
    const log = (/** @type {string} */ line) => job.ui.log(line);
    const how = { step, log, options: replacing(urn) };
    const reader = await pulumiUp({ at, env, cwd: ROOT }, stack, how);
    return told(reader.summary());
  });
}
