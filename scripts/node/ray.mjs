/**
 * @file Takes a node out of Ray's cluster and back. What keeps it out is the file `drained` beside Ray's token
 * (images/ray): whatever starts the container again, nothing of Ray starts in it.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { duration, shellQuote } from "../lib/format.mjs";
import { CommandError, throwIfInterrupted, waitFor } from "../lib/process.mjs";
import { askNode } from "./facts.mjs";
import { workInWords } from "./plan.mjs";
import { inContainer, onNode } from "./remote.mjs";

const HOLD = "/var/lib/berth/ray/drained";

/** A raylet ends within seconds, `docker restart` gives it 20. */
const OUT_MS = 90_000;

/** A worker joins in 5 s; a head starts in 15 s, and workers notice it after that. */
const BACK_MS = 5 * 60_000;

/**
 * @typedef {{id: string, address: string, state: string, activity: string[]}} RayNode `state`: RUNNING, IDLE,
 *   DRAINING or DEAD
 * @typedef {{nodes: RayNode[], shown: string[], work: {node: string, name: string}[] | null}} Cluster `shown`: ids of
 *   the nodes that the dashboard, and with it `npm run status`, takes for alive
 */

/** @param {import("./job.mjs").Job} job */
const headOf = (job) => [job.node, ...job.others].find(({ role }) => role === "head");

/**
 * A question to Ray's control service, in the head's container.
 * @param {import("./job.mjs").Job} job
 * @param {string[]} words
 * @returns {Promise<any>} undefined: it does not answer
 */
async function askCluster(job, words) {
  const head = headOf(job);
  if (!head) return undefined;
  try {
    const list = `docker ps --filter label=berth.stack=${job.stack} --filter label=berth.component=ray --format '{{.Names}}'`;
    const container = (await onNode(job.way, head, list)).trim().split("\n")[0];
    if (!container) return undefined;
    const program = readFileSync(new URL("cluster.py", import.meta.url), "utf8");
    const answer = await inContainer(job.way, head, container, ["python3", "-", ...words], program);
    return JSON.parse(answer.trim().split("\n").at(-1) ?? "");
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof SyntaxError)) throw error;
    job.ui.log(
      `Ray does not answer: ${error instanceof CommandError ? error.output.join(" / ") : error.message}`,
    );
    return undefined;
  }
}

/**
 * @param {import("./job.mjs").Job} job
 * @returns {Promise<Cluster | undefined>} undefined: Ray's head does not answer
 */
export const cluster = (job) => askCluster(job, ["state"]);

/**
 * What ends when the node goes: its own tasks and actors; with the head, those of all.
 * @param {import("./job.mjs").Job} job
 * @param {Cluster | undefined} found
 * @returns {{node: string, name: string}[] | null} null: not known
 */
export function workOn({ node }, found) {
  if (!found?.work) return null;
  if (node.role === "head") return found.work;
  const ids = found.nodes
    .filter(({ address, state }) => address === node.privateAddress && state !== "DEAD")
    .map(({ id }) => id);
  return found.work.filter((one) => ids.includes(one.node));
}

/**
 * Takes the node out, and waits for what runs on it until the mark's deadline.
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").Mark} mark
 * @param {import("../lib/ui.mjs").Step} step
 * @returns {Promise<{cut: string[]}>} `cut`: names of what still ran at the deadline
 * @throws {Error} when it does not go
 */
export async function drainRay(job, mark, step) {
  // The folder is the Ray container's; a node whose Ray was never made may lack it.
  await onNode(job.way, job.node, `install -d -m 0711 ${dirname(HOLD)}; touch ${HOLD}; sync ${HOLD}`);
  const end = Date.parse(mark.deadline);
  const head = job.node.role === "head";
  let accepted = false;
  let said = "";
  for (;;) {
    throwIfInterrupted();
    const facts = await askNode(job.way, job.stack, job.node);
    if (facts && isOut(facts)) return { cut: [] };
    const found = await cluster(job);
    const work = workOn(job, found);
    // Ray's head has nobody to hand its part to: what runs is waited for, then all of it stops.
    if (head && work?.length === 0) break;
    if (!head && !accepted && found) accepted = await tellRay(job, mark, found);
    const left = end - Date.now();
    if (left <= 0) {
      if (facts && !facts.docker)
        job.warnings.push(
          `Docker does not answer on ${job.node.name}: Ray was not stopped there, and starts no more`,
        );
      else await stopRay(job, step);
      return { cut: (work ?? []).map(({ name }) => name) };
    }
    const text = progress(job, found, work);
    if (text !== said) step.note(`${text}; ${duration(left)} left`);
    said = text;
    await new Promise((wake) => setTimeout(wake, Math.min(2000, left)));
  }
  await stopRay(job, step);
  return { cut: [] };
}

/** @param {import("./facts.mjs").Facts} facts */
const isOut = ({ docker, ray }) => docker && (ray === "drained" || ray === "down" || ray === "none");

/**
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").Mark} mark
 * @param {Cluster} found
 * @returns {Promise<boolean>} whether Ray has heard it
 */
async function tellRay(job, mark, found) {
  const here = found.nodes.filter(({ address }) => address === job.node.privateAddress);
  for (const { id } of here.filter(({ state }) => state !== "DEAD")) {
    const words = ["drain", id, `${job.node.name}: ${mark.reason}`, String(Date.parse(mark.deadline))];
    const answer = await askCluster(job, words);
    if (!answer?.accepted) {
      job.ui.log(`Ray refused to drain ${id}: ${answer?.why ?? "no answer"}`);
      return false;
    }
  }
  return true;
}

/**
 * @param {import("./job.mjs").Job} job
 * @param {Cluster | undefined} found
 * @param {{name: string}[] | null} work
 */
function progress({ node }, found, work) {
  if (!found) return "Ray's head does not say what runs";
  if (work === null) return "not known what runs";
  if (work.length > 0) return `waiting for ${workInWords(work)}`;
  const busy = found.nodes.filter(
    ({ address, state }) => address === node.privateAddress && state !== "DEAD",
  );
  const activity = busy.flatMap((one) => one.activity);
  return activity.length > 0 ? `waiting: ${activity.slice(0, 2).join("; ")}` : "waiting for Ray to end";
}

/**
 * Ends Ray on the node at once; its container starts again and waits.
 * @param {import("./job.mjs").Job} job
 * @param {import("../lib/ui.mjs").Step} step
 */
async function stopRay(job, step) {
  step.note("stopping Ray");
  const list = `docker ps --quiet --filter label=berth.stack=${job.stack} --filter label=berth.component=ray`;
  await onNode(job.way, job.node, `${list} | xargs -r docker restart -t 20 >/dev/null`, {
    deadlineMs: 60_000,
  });
  const out = await waitFor(
    async () => {
      const facts = await askNode(job.way, job.stack, job.node);
      return facts !== undefined && isOut(facts);
    },
    { deadlineMs: OUT_MS, everyMs: 1000 },
  );
  if (!out)
    throw new Error(
      `Ray still runs on ${job.node.name} ${duration(OUT_MS)} after it was stopped. Look there: docker logs ${await rayName(job)}`,
    );
}

/** @param {import("./job.mjs").Job} job */
async function rayName(job) {
  return (await askNode(job.way, job.stack, job.node))?.rayContainer ?? `berth-${job.stack}-ray`;
}

/**
 * Lets Ray start again on the node, and waits until the cluster has it.
 * @param {import("./job.mjs").Job} job
 * @param {import("../lib/ui.mjs").Step} step
 * @returns {Promise<string>} what was found, in a few words
 * @throws {Error} when it does not come back
 */
export async function joinRay(job, step) {
  const label = `--filter label=berth.stack=${job.stack} --filter label=berth.component=ray`;
  // One that somebody stopped starts too.
  const start = `rm -f ${HOLD}; docker ps --all --quiet ${label} --filter status=exited --filter status=created | xargs -r docker start >/dev/null`;
  await onNode(job.way, job.node, start, { deadlineMs: 60_000 });
  step.note("waiting until the cluster has it");
  const wanted = await expected(job);
  /** @type {Cluster | undefined} */
  let last;
  const back = await waitFor(
    async () => {
      last = await cluster(job);
      return last !== undefined && wanted.every((address) => alive(last, address));
    },
    { deadlineMs: BACK_MS, everyMs: 1000 },
  );
  if (back) return wanted.length === 1 ? "in the cluster" : `${wanted.length} nodes in the cluster`;
  const missing = wanted.filter((address) => !alive(last, address));
  throw new Error(
    `${last ? `Ray has no ${missing.join(", ")}` : "Ray's head does not answer"} ${duration(BACK_MS)} after it was started. Look on ${job.node.name}: docker logs ${shellQuote(await rayName(job))}`,
  );
}

/**
 * Private addresses that the cluster must have: with the head come the workers that are not out themselves.
 * @param {import("./job.mjs").Job} job
 */
async function expected(job) {
  if (job.node.role !== "head") return [job.node.privateAddress];
  const up = await Promise.all(
    job.others.map(async (node) => {
      const facts = await askNode(job.way, job.stack, node);
      return facts?.ray === "running" || facts?.ray === "starting" ? [node.privateAddress] : [];
    }),
  );
  return [job.node.privateAddress, ...up.flat()];
}

/**
 * @param {Cluster | undefined} found
 * @param {string} address
 */
const alive = (found, address) =>
  found?.nodes.some(
    ({ id, address: its, state }) =>
      its === address && /^(RUNNING|IDLE)$/.test(state) && found.shown.includes(id),
  ) ?? false;
