/**
 * @file Restarts a node's machine and waits until all that ran runs again. For every kind of node it is the machine's
 * own `systemctl reboot`: a local node's container ends by it, and its restart policy starts it again.
 */
import { duration } from "../lib/format.mjs";
import { waitFor } from "../lib/process.mjs";
import { told } from "../lib/ui.mjs";
import { askTarget, inStep } from "./job.mjs";
import { writeJournal } from "./journal.mjs";
import { noticeFor } from "./plan.mjs";
import { onNode } from "./remote.mjs";
import { tell } from "./workspaces.mjs";

/** Servers with much memory take 10 minutes before their system starts. */
const BOOT_MS = 20 * 60_000;

/** Services that start with the machine. */
const SETTLE_MS = 5 * 60_000;

/**
 * Restarts the machine, unless it has restarted since the mark was placed for this.
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").Mark} mark
 */
export async function restart(job, mark) {
  await inStep(job, "Restart", async (step) => {
    const before = await askTarget(job);
    if (before && before.boot === mark.boot) {
      const { command, node } = job;
      const about = { command, node: node.name, reason: mark.reason, deadline: mark.deadline, now: true };
      await tell(job, node, noticeFor(about), "place");
      writeJournal(job, { mark });
      // The answer gets out before SSH goes.
      await onNode(
        job.way,
        node,
        "sync; nohup sh -c 'sleep 1; systemctl reboot' >/dev/null 2>&1 </dev/null &",
      );
    }
    step.note("waiting for SSH");
    const began = Date.now();
    let why = "";
    const up = await waitFor(
      async () => {
        const facts = await askTarget(job, (line) => (why = line));
        return facts !== undefined && facts.boot !== mark.boot;
      },
      { deadlineMs: BOOT_MS, everyMs: 2000 },
    );
    if (!up)
      throw new Error(
        `${job.node.name} is not back after ${duration(BOOT_MS)}${why ? `: ${why}` : ": it answers, and has not restarted"}. Look at its console.`,
      );
    return told(`up again after ${duration(Date.now() - began)}, with the host key that is known`);
  });
}

/**
 * Waits until the system has started, Docker answers and the given workspaces are healthy. One that does not get so is
 * told of: whoever works in it is root there, and must not keep the node out of service.
 * @param {import("./job.mjs").Job} job
 * @param {string[]} workspaces their owners
 * @param {number} [settleMs] how long Docker, and the workspaces, may take
 */
export async function waitForAll(job, workspaces, settleMs = SETTLE_MS) {
  await inStep(job, "All runs again", async (step) => {
    step.note("waiting for the system's services");
    const script = `timeout ${SETTLE_MS / 1000} systemctl is-system-running --wait || true; systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1`;
    const [system = "", ...failed] = (
      await onNode(job.way, job.node, script, { deadlineMs: SETTLE_MS + 20_000 })
    )
      .trim()
      .split("\n");
    if (system !== "running" && system !== "degraded")
      throw new Error(`${job.node.name}: its system is "${system}", ${duration(SETTLE_MS)} after its start.`);
    if (failed.length > 0)
      job.warnings.push(
        `${job.node.name} runs with failed units: ${failed.join(", ")} (systemctl status UNIT)`,
      );
    /** @type {string[]} */
    let missing = workspaces;
    let docker = false;
    let said = "";
    const up = await waitFor(
      async () => {
        const facts = await askTarget(job);
        if (!facts?.docker) return false;
        docker = true;
        const healthy = facts.workspaces.filter((one) => one.healthy).map(({ owner }) => owner);
        missing = workspaces.filter((owner) => !healthy.includes(owner));
        const text = `waiting for the workspaces of ${missing.join(", ")}`;
        if (missing.length > 0 && text !== said) step.note(text);
        said = text;
        return missing.length === 0;
      },
      { deadlineMs: settleMs, everyMs: Math.min(2000, settleMs / 2) },
    );
    if (!docker)
      throw new Error(
        `${job.node.name}: Docker does not answer after ${duration(settleMs)}. Look there: systemctl status docker`,
      );
    if (!up)
      job.warnings.push(
        `${job.node.name}: not healthy after ${duration(settleMs)}: the workspaces of ${missing.join(", ")}. Look there: docker ps --all; docker logs NAME`,
      );
    const count = workspaces.length - (up ? 0 : missing.length);
    return told(`system ${system}, Docker, ${count} workspace${count === 1 ? "" : "s"}`);
  });
}
