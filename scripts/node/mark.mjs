/**
 * @file The mark on a node that is out, and the step that takes it out or back.
 */
import { duration } from "../lib/format.mjs";
import { CommandError } from "../lib/process.mjs";
import { told } from "../lib/ui.mjs";
import { MARK } from "./facts.mjs";
import { askOthers, inStep } from "./job.mjs";
import { noticeFor, when } from "./plan.mjs";
import { drainRay, joinRay } from "./ray.mjs";
import { onNode } from "./remote.mjs";
import { tell } from "./workspaces.mjs";

/**
 * The mark to place. One that an earlier run left goes on: since when, until when, and what it was made for.
 * @param {Pick<import("./job.mjs").Job, "command" | "reason" | "deadlineMs" | "ownDeadline">} job
 * @param {import("./facts.mjs").Facts} facts
 * @param {number} [now] ms since 1970
 * @returns {import("./plan.mjs").Mark}
 */
export function markFor(
  { command, reason, deadlineMs, ownDeadline },
  { mark, boot, workspaces },
  now = Date.now(),
) {
  const deadline = new Date(now + deadlineMs).toISOString();
  const running = workspaces.filter(({ state }) => state === "running").map(({ owner }) => owner);
  if (!mark)
    return {
      ...{ since: new Date(now).toISOString(), reason, by: command, deadline, boot },
      ...{ workspaces: running, keep: command === "drain" },
    };
  const again = { ...mark, by: command, deadline: ownDeadline ? deadline : mark.deadline };
  // `drain` on one that is being restarted: it stays out after that.
  if (command === "drain") return { ...again, keep: true };
  // The same command goes on; another one begins, also after a restart that was not its own.
  return mark.by === command ? again : { ...again, boot, workspaces: running };
}

/**
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").Mark} mark
 */
async function placeMark({ way, node }, mark) {
  const text = Buffer.from(`${JSON.stringify(mark, null, 2)}\n`).toString("base64");
  const script = `
umask 022
mkdir -p ${MARK.slice(0, MARK.lastIndexOf("/"))}
printf %s ${text} | base64 -d >${MARK}.new
sync ${MARK}.new
mv -f -T ${MARK}.new ${MARK}`;
  await onNode(way, node, script);
}

/**
 * Marks the node, tells its people, takes it out of Ray.
 * @param {import("./job.mjs").Job} job
 * @param {import("./facts.mjs").Facts} facts
 * @returns {Promise<{mark: import("./plan.mjs").Mark, cut: string[]}>}
 */
export async function takeOut(job, facts) {
  const mark = markFor(job, facts);
  await inStep(job, "Workspaces told", async () => {
    await placeMark(job, mark);
    if (!facts.mark && !job.force) await refuseTwo(job);
    // A deadline that passed while nobody went on is no time to give.
    const by = new Date(Math.max(Date.parse(mark.deadline), Date.now())).toISOString();
    const lines = noticeFor({
      command: job.command,
      node: job.node.name,
      reason: mark.reason,
      deadline: by,
      lost: job.filesGo,
    });
    const who = await tell(job, job.node, lines, "place");
    const stop = `Ray stops on all nodes by ${when(by)}, with the jobs and actors in it: ${mark.reason}.`;
    await tellOthers(job, [stop, "Your workspace and your files stay as they are."]);
    return told(who);
  });
  if (!job.ray) return { mark, cut: [] };
  const { cut } = await inStep(job, "Ray drained", async (step) => {
    const began = Date.now();
    const value = await drainRay(job, mark, step);
    const how =
      value.cut.length > 0 ? `cut off at ${when(mark.deadline)}: ${value.cut.join(", ")}` : "nothing cut off";
    return { way: `${how}, after ${duration(Date.now() - began)}`, value };
  });
  return { mark, cut };
}

/**
 * What the head does to Ray is everybody's business; a worker's is that of its own people.
 * @param {import("./job.mjs").Job} job
 * @param {string[]} lines
 */
async function tellOthers(job, lines) {
  if (!job.ray || job.node.role !== "head") return;
  for (const node of job.others) {
    await tell(job, node, lines, "leave").catch((error) => {
      if (!(error instanceof CommandError)) throw error;
      job.warnings.push(`the workspaces of ${node.name} could not be told: ${error.message}`);
    });
  }
}

/**
 * Two computers may have looked at the same moment, each at nodes without a mark: then neither goes on.
 * @param {import("./job.mjs").Job} job
 */
async function refuseTwo(job) {
  for (const [name, facts] of await askOthers(job)) {
    if (!facts?.mark) continue;
    await onNode(job.way, job.node, `rm -f ${MARK}`);
    throw new Error(
      `${name} was taken out at the same moment (${facts.mark.reason}): one node at a time. ${job.node.name} is as it was.`,
    );
  }
}

/**
 * Puts the node into the cluster again, and takes mark and notice away.
 * @param {import("./job.mjs").Job} job
 */
export async function takeBack(job) {
  await inStep(job, "Taken back", async (step) => {
    const found = job.ray ? await joinRay(job, step) : "no Ray in this stack";
    await tell(job, job.node, [`Node ${job.node.name} is back.`], "remove");
    await tellOthers(job, ["Ray is back."]);
    await onNode(job.way, job.node, `rm -f ${MARK}`);
    return told(found);
  });
}
