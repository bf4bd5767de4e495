/**
 * @file What `npm run node` decides before it touches anything, and its texts. Pure.
 */
import { UsageError } from "../lib/args.mjs";
import { printable } from "../lib/format.mjs";

export const COMMANDS = /** @type {const} */ (["drain", "undrain", "reboot", "replace"]);

/** Running tasks get so long when nothing else is said. */
export const DEFAULT_DEADLINE = "10m";

/** Longer than this is a mistake rather than patience: 7 days. */
const LONGEST_MS = 7 * 24 * 3_600_000;

/**
 * @typedef {typeof COMMANDS[number]} Command
 *
 * @typedef {object} SshAccess  how a node is signed in to when not as root on port 22 with the stack's own key
 * @property {string} user
 * @property {number} port
 * @property {string[]} options words for `ssh`, which name the key and the known hosts too
 *
 * @typedef {import("../lib/live.mjs").OutputNode & {ssh?: SshAccess}} TargetNode
 *
 * @typedef {object} Mark  `/var/lib/berth/drained` on a node: it is out of the cluster, or on its way
 * @property {string} since ISO 8601
 * @property {string} reason
 * @property {Command} by which command it was that took it out
 * @property {string} deadline ISO 8601: running tasks are left alone until then
 * @property {string} boot the machine's start (see facts.mjs) when the mark was placed
 * @property {string[]} workspaces owners of those that ran then
 * @property {boolean} keep it was taken out by `drain`, so only `undrain` takes it back
 */

/**
 * "90", "90s", "10m" or "2h" in milliseconds.
 * @param {string} text
 * @returns {number}
 * @throws {UsageError}
 */
export function readDeadline(text) {
  const match = /^(\d{1,9})(s|m|h)?$/.exec(text);
  const unit = /** @type {Record<string, number>} */ ({ s: 1000, m: 60_000, h: 3_600_000 })[
    match?.[2] ?? "s"
  ];
  const ms = match && unit ? Number(match[1]) * unit : Number.NaN;
  if (!(ms <= LONGEST_MS)) {
    throw new UsageError(
      `--deadline: ${JSON.stringify(text)} is no length of time. Allowed: a whole number with s, m or h, such as 0s, 90s, 10m, 2h; at most 168h.`,
    );
  }
  return ms;
}

/**
 * A reason is shown on people's terminals, so it is one line of ordinary characters.
 * @param {string} text
 * @returns {string}
 * @throws {UsageError}
 */
export function readReason(text) {
  if (!/^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(text) || !text.trim()) {
    throw new UsageError(
      "--reason: it is shown in people's terminals. Allowed: one line of up to 200 characters.",
    );
  }
  return text.trim();
}

/**
 * @param {string[]} words what the options left over
 * @returns {{command: Command, name: string}}
 * @throws {UsageError}
 */
export function readWords(words) {
  const option = words.find((word) => word.startsWith("-"));
  if (option !== undefined)
    throw new UsageError(`${JSON.stringify(option)} is not an option here. See: npm run node -- --help`);
  const [command = "", name = "", ...more] = words;
  const known = COMMANDS.find((one) => one === command);
  if (!known || !name || more.length > 0) {
    throw new UsageError(
      `npm run node -- ${COMMANDS.join("|")} NAME: ${words.length === 0 ? "the command and the node are missing" : `${JSON.stringify(words.join(" "))} is not of this form`}. One node at a time. See: npm run node -- --help`,
    );
  }
  return { command: known, name };
}

/**
 * @param {import("../lib/live.mjs").Outputs} outputs
 * @param {string} stack
 * @param {string} name
 * @returns {TargetNode}
 * @throws {UsageError}
 */
export function chooseNode(outputs, stack, name) {
  const nodes = /** @type {TargetNode[]} */ (outputs.nodes ?? []);
  const found = nodes.find((node) => node.name === name);
  if (found) return found;
  throw new UsageError(
    `Stack ${stack} has no node ${JSON.stringify(name)}. Its nodes: ${nodes.map((node) => node.name).join(", ")}.`,
  );
}

/**
 * @typedef {object} Look  what was found before anything is touched
 * @property {Command} command
 * @property {TargetNode} node
 * @property {boolean} ray whether the stack has Ray
 * @property {import("./facts.mjs").Facts | undefined} facts undefined: the node does not answer
 * @property {Map<string, import("./facts.mjs").Facts | undefined>} others the other nodes, by name
 * @property {boolean} head `--head` was said
 * @property {boolean} goesOn a run of the same command was cut off when the node was about to fall silent
 */

/**
 * What stands against it, for good or unless `--force` is said.
 * @param {Look} look
 * @returns {{never: string[], unforced: string[]}}
 */
export function objections({ command, node, ray, facts, others, head, goesOn }) {
  const never = [];
  const unforced = [];
  if (command === "replace" && node.kind === "baremetal") {
    never.push(
      `${node.name} is bare metal: there is nothing to make it anew from. Reinstall it by your own way (drain it first), ` +
        "put its new host key into its `hostKey` in the stack's file, then npm run up, and npm run node -- undrain.",
    );
  }
  if (ray && node.role === "head" && !head) {
    never.push(
      `${node.name} is Ray's head: without it the whole Ray cluster stops, and every job and actor in it ends, on all nodes. ` +
        "Ray keeps its tables in the head's memory, so nothing can take its place. If that is meant: --head",
    );
  }
  if (!facts && !goesOn && command !== "replace") {
    never.push(
      `${node.name} (${node.address}) does not answer by SSH, so it cannot be told anything. A machine that is gone for ` +
        `good: npm run node -- replace ${node.name} --force`,
    );
  }
  if (!facts && !goesOn && command === "replace") {
    unforced.push(
      `${node.name} (${node.address}) does not answer by SSH: its workspaces cannot be told, and what is not on a disk yet is lost.`,
    );
  }
  if (filesGo({ command, node, facts, goesOn })) {
    unforced.push(
      `${node.name}: people's homes lie on the droplet's own disk and would be deleted with it. Copy /mnt/storage away first.`,
    );
  }
  if (facts?.ray === "old") {
    never.push(
      `${node.name}'s Ray was made by an older version of Berth, and would come back by itself: npm run up first.`,
    );
  }
  for (const [name, other] of others) {
    if (!other) unforced.push(`${name} does not answer by SSH: two nodes would be out at once.`);
    else if (other.mark)
      unforced.push(
        `${name} is out since ${when(other.mark.since)} (${other.mark.reason}): one node at a time. Take it back first: npm run node -- undrain ${name}`,
      );
  }
  return { never, unforced };
}

/**
 * Whether people's files go with the machine. A local node's lie on a volume of Docker's, whatever disk that is on.
 * @param {Pick<Look, "command" | "node" | "facts" | "goesOn">} look
 */
export function filesGo({ command, node, facts, goesOn }) {
  return command === "replace" && node.kind === "digitalocean" && facts?.homesOnDisk === true && !goesOn;
}

/**
 * "2026-11-21 08:10 UTC".
 * @param {string | number | Date} time
 */
export function when(time) {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/**
 * What people in workspaces read, line by line.
 * @param {{command: Command, node: string, reason: string, deadline: string, now?: boolean, lost?: boolean}} about
 *   `now`: the time has come; `lost`: what they have stored goes with the machine
 * @returns {string[]}
 */
export function noticeFor({ command, node, reason, deadline, now = false, lost = false }) {
  const time = now ? "now" : `by ${when(deadline)}`;
  const files = lost
    ? "Your files in /home, /workspace and /shared are deleted with it: copy them away now."
    : "Your files in /home, /workspace and /shared stay.";
  if (command === "drain" || command === "undrain") {
    return [
      `Node ${node} is being taken out for maintenance: ${reason}.`,
      `No new Ray tasks start on it. It may be switched off after ${when(deadline)}: save your work. ${files}`,
    ];
  }
  return [
    `Node ${node} goes down ${time} ${command === "reboot" ? "to restart" : "and is made anew"}: ${reason}.`,
    `What runs in your workspace ends then; the workspace comes back by itself some minutes later. ${files}`,
  ];
}

/**
 * What runs, in a few words: "3 tasks (train x2, load)"; empty: nothing.
 * @param {{name: string}[]} work
 * @returns {string}
 */
export function workInWords(work) {
  if (work.length === 0) return "";
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { name } of work) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].map(([name, count]) => printable(name) + (count > 1 ? ` x${count}` : ""));
  const more = names.length > 4 ? `, and ${names.length - 4} more` : "";
  return `${work.length} ${work.length === 1 ? "task or actor" : "tasks and actors"} (${names.slice(0, 4).join(", ")}${more})`;
}

/**
 * What will happen, for the person who is asked.
 * @param {{command: Command, node: TargetNode, facts: import("./facts.mjs").Facts | undefined, ray: boolean,
 *   work: {node: string, name: string}[] | null, deadlineMs: number}} about `work`: what runs on this node (on the
 *   head: in the whole cluster); null: not known
 * @returns {string[]}
 */
export function whatHappens({ command, node, facts, ray, work, deadlineMs }) {
  const lines = [`Node ${node.name} (${node.kind}, ${node.role}, ${node.address}):`];
  const running = facts?.workspaces.filter(({ state }) => state === "running") ?? [];
  for (const { owner, terminals } of running) {
    const open =
      terminals === 0 ? "no terminal open" : `${terminals} terminal${terminals > 1 ? "s" : ""} open`;
    const fate = command === "drain" ? "is told, and goes on" : "is told, ends, and comes back";
    lines.push(`  workspace of ${owner} (${open}): ${fate}`);
  }
  if (facts && running.length === 0) lines.push("  no workspace runs on it");
  if (ray && node.role === "head")
    lines.push("  Ray: the whole cluster stops, on all nodes, until it is back");
  if (ray) {
    const what = work === null ? "not known what runs" : workInWords(work) || "nothing runs";
    const wait =
      deadlineMs > 0 ? `, which may take ${minutes(deadlineMs)} to end` : ", which is cut off at once";
    lines.push(`  Ray: ${what}${work !== null && work.length === 0 ? "" : wait}`);
  }
  if (command === "reboot") lines.push("  then it restarts, and is taken back when all runs again");
  if (command === "replace")
    lines.push("  then its machine is removed and made again; its volumes stay as they are");
  if (command === "replace" && node.kind === "digitalocean")
    lines.push(
      `  what lies on the droplet's own disk goes${facts?.homesOnDisk ? ": people's homes too" : ""}`,
    );
  if (command === "drain") lines.push(`  it stays out until: npm run node -- undrain ${node.name}`);
  return lines;
}

/** @param {number} ms */
function minutes(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

/**
 * @typedef {{urn: string, id?: string, pendingReplacement?: boolean}} StateResource
 * @typedef {{op: string, urn: string}} PreviewStep
 */

const VOLUMES = /^(docker:index\/volume:Volume|digitalocean:index\/volume:Volume)$/;
const ENDS = /^(delete|replace|delete-replaced|create-replacement)$/;

/** @param {string} urn urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME */
const partsOf = (urn) => {
  const [, , path = "", name = ""] = urn.split("::");
  return { path, type: path.split("$").at(-1) ?? "", name };
};

/** @param {string} path the types of a resource and its parents */
const isMachine = (path) =>
  /(^|\$)(berth:node:LocalNode\$docker:index\/container:Container|digitalocean:index\/droplet:Droplet)$/.test(
    path,
  );

/**
 * The machine of a node in the stack's state.
 * @param {StateResource[]} resources of an exported deployment
 * @param {string} node
 * @returns {StateResource | undefined} undefined: there is none just now
 */
export function machineOf(resources, node) {
  return resources.find(({ urn, pendingReplacement }) => {
    const { path, name } = partsOf(urn);
    // Pulumi keeps one that it has deleted for a replacement which a cut left unmade (apitype.ResourceV3).
    return name === `berth-${node}` && isMachine(path) && !pendingReplacement;
  });
}

/**
 * What a preview of the replacement must not do.
 * @param {PreviewStep[]} steps
 * @param {string} node
 * @returns {string[]} a line each; empty: nothing speaks against it
 */
export function previewProblems(steps, node) {
  return steps
    .filter(({ op }) => ENDS.test(op))
    .flatMap(({ op, urn }) => {
      const { path, type, name } = partsOf(urn);
      if (VOLUMES.test(type)) return [`${op} ${name}: a volume, with what is stored on it`];
      if (isMachine(path) && name !== `berth-${node}`) return [`${op} ${name}: another node's machine`];
      return [];
    })
    .filter((line, i, all) => all.indexOf(line) === i);
}

/**
 * The steps of a preview for people: what stays as it is left out.
 * @param {PreviewStep[]} steps
 * @returns {string[]}
 */
export function previewLines(steps) {
  return steps
    .filter(({ op }) => op !== "same" && op !== "read" && !/^(delete-replaced|create-replacement)$/.test(op))
    .map(({ op, urn }) => {
      const { type, name } = partsOf(urn);
      return `  ${op.padEnd(8)} ${name}  (${type})`;
    });
}
