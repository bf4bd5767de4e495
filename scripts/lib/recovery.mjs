/**
 * @file After a killed `up`: its lock, and what it had begun but not noted as done.
 *
 * Pulumi's file backend never asks whether the process that holds a lock still lives, and a cut-off lock file fails
 * every later run; both are looked at here. What was being created when Pulumi was killed stands in the state as a
 * pending operation, and may or may not exist. All that Berth creates is either made anew without harm (scripts over
 * SSH, volumes) or has a name and labels by which it is found and removed (containers, networks).
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { parentOf, processAlive, processCommand, readJson } from "./files.mjs";
import { PROJECT, stackDir } from "./paths.mjs";
import { run, throwIfInterrupted, waitFor } from "./process.mjs";
import { dockerOn } from "./ssh.mjs";

/** A lock file that is no whole JSON after so long was cut off: Pulumi writes it in one go. */
const CUT_OFF_MS = 10_000;

/** A still living `up` is waited for so long; its own steps have deadlines that sum up to less. */
const WAIT_MS = 20 * 60_000;

/**
 * @typedef {object} Lock
 * @property {string} file
 * @property {"dead" | "alive" | "elsewhere" | "torn"} state `elsewhere`: another computer's, so nobody here can tell
 * @property {number} [pid]
 * @property {string} [who] user@host, and since when
 */

/**
 * @param {string} text of the lock file
 * @param {{host: string, ageMs: number, alive: (pid: number) => boolean}} facts
 * @returns {Omit<Lock, "file"> | undefined} undefined: too young to judge
 */
export function judgeLock(text, { host, ageMs, alive }) {
  /** @type {any} */
  let lock;
  try {
    lock = JSON.parse(text);
  } catch {
    lock = undefined;
  }
  if (typeof lock?.pid !== "number") return ageMs < CUT_OFF_MS ? undefined : { state: "torn" };
  const who = `${lock.username}@${lock.hostname}, since ${lock.timestamp}`;
  if (lock.hostname !== host) return { state: "elsewhere", pid: lock.pid, who };
  return { state: alive(lock.pid) ? "alive" : "dead", pid: lock.pid, who };
}

/**
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 * @returns {Lock[]}
 */
export function locksOf(at, stack) {
  const folder = join(at.state, ".pulumi/locks/organization", PROJECT, stack);
  if (!existsSync(folder)) return [];
  /** @type {Lock[]} */
  const found = [];
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(".json")) continue;
    const file = join(folder, name);
    try {
      const ageMs = Date.now() - statSync(file).mtimeMs;
      const lock = judgeLock(readFileSync(file, "utf8"), { host: hostname(), ageMs, alive: isPulumi });
      found.push({ file, ...(lock ?? { state: "alive" }) });
    } catch {
      // Unlocked meanwhile.
    }
  }
  return found;
}

/**
 * Whether a process lives and is Pulumi: numbers are given anew.
 * @param {number} pid
 */
function isPulumi(pid) {
  if (!processAlive(pid)) return false;
  const command = processCommand(pid);
  return command === "" || /pulumi/.test(command);
}

/**
 * Removes locks of the dead, and waits for the living.
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 * @param {(text: string) => void} note
 * @param {boolean} [wait] false: a living one is an error at once
 * @throws {Error} another computer's lock, or one that does not go
 */
export async function clearLocks(at, stack, note, wait = true) {
  for (const { file, state, pid } of locksOf(at, stack)) {
    if (state !== "dead" && state !== "torn") continue;
    rmSync(file, { force: true });
    rmSync(`${file}.attrs`, { force: true });
    endOrphans(at);
    dropCutOff(at, stack);
    note(
      state === "torn" ? "removed a cut-off lock" : `removed the lock of process ${pid}, which was killed`,
    );
  }
  const foreign = locksOf(at, stack).find(({ state }) => state === "elsewhere");
  if (foreign) {
    throw new Error(
      `Stack ${stack} is locked by a Pulumi on another computer (${foreign.who}, process ${foreign.pid}).\n` +
        `Wait for it. If it is gone for good: eval "$(npm run -s env -- --stack ${stack})" && pulumi cancel --stack ${stack}`,
    );
  }
  const living = () => locksOf(at, stack).find(({ state }) => state === "alive");
  const first = living();
  if (!first) return;
  const message = `Pulumi (process ${first.pid}) is at work on stack ${stack}`;
  if (!wait) throw new Error(`${message}. Wait for it to end, or stop it with: kill -INT ${first.pid}`);
  note(`${message}; waiting for it to end`);
  const gone = await waitFor(async () => !living(), { deadlineMs: WAIT_MS, everyMs: 1000 });
  if (!gone)
    throw new Error(`${message} and did not end in 20 minutes. Stop it with: kill -INT ${first.pid}`);
  await clearLocks(at, stack, note, false);
}

/**
 * Removes what a killed write left beside the state. The state itself is renamed into place, whole; its `.attrs` (its
 * content type, for stores other than files) is written over, and an empty one fails every later run with "EOF".
 * Without one Pulumi reads the state as it is.
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 */
export function dropCutOff(at, stack) {
  const folder = join(at.state, ".pulumi/stacks", PROJECT);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(`${stack}.json`)) continue;
    const file = join(folder, name);
    const cutOff = name.endsWith(".attrs") && readJson(file) === undefined;
    if (cutOff || name.endsWith(".tmp")) rmSync(file, { force: true });
  }
}

/**
 * Ends language hosts whose Pulumi was killed: they would wait for ever. Only Linux says who they are.
 * @param {import("./paths.mjs").Places} at
 */
function endOrphans(at) {
  if (process.platform !== "linux") return;
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (
      !Number.isInteger(pid) ||
      !processCommand(pid).startsWith(join(at.pulumiDir, "pulumi-language-nodejs"))
    )
      continue;
    if (processCommand(parentOf(pid)).includes("pulumi")) continue;
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // Another account's, or gone meanwhile.
    }
  }
}

/**
 * @typedef {object} Orphan  what a killed `up` may have left, in Docker
 * @property {"container" | "network"} kind
 * @property {string} name
 * @property {string | undefined} host the provider's `host`; undefined: this computer's engine
 * @property {string[] | undefined} [sshOpts] the provider's words for ssh
 */

/**
 * What to look for, by the pending operations of an exported deployment.
 * @param {any} deployment the `deployment` of `pulumi stack export`
 * @returns {Orphan[]}
 */
export function orphansOf(deployment) {
  /** @type {Orphan[]} */
  const orphans = [];
  const resources = deployment?.resources ?? [];
  for (const operation of deployment?.pending_operations ?? []) {
    const kind = /^docker:index\/(container|network):/.exec(operation.resource?.type ?? "")?.[1];
    const name = operation.resource?.inputs?.name;
    if (operation.type !== "creating" || !kind || typeof name !== "string") continue;
    const urn = String(operation.resource.provider ?? "")
      .split("::")
      .slice(0, -1)
      .join("::");
    const provider = resources.find((/** @type {any} */ resource) => resource.urn === urn);
    const host = provider?.inputs?.host;
    orphans.push({
      kind: kind === "container" ? "container" : "network",
      name,
      host: typeof host === "string" ? host : undefined,
      sshOpts: wordsOf(provider?.inputs?.sshOpts),
    });
  }
  return orphans;
}

/**
 * A list among a provider's inputs, which the state holds as JSON.
 * @param {unknown} value
 * @returns {string[] | undefined}
 */
function wordsOf(value) {
  try {
    const words = typeof value === "string" ? JSON.parse(value) : value;
    return Array.isArray(words) && words.every((word) => typeof word === "string") ? words : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Repairs a stack after a killed `up`: removes what it had begun, then forgets that it had.
 * @param {{at: import("./paths.mjs").Places, env: NodeJS.ProcessEnv, cwd: string}} context
 * @param {string} stack
 * @param {(text: string) => void} note
 * @returns {Promise<number>} how many operations were pending
 */
export async function repairPending({ at, env, cwd }, stack, note) {
  throwIfInterrupted();
  if (!mayHavePending(at, stack)) return 0;
  const exported = await run("pulumi", ["stack", "export", "--stack", stack], {
    env,
    cwd,
    deadlineMs: 60_000,
  });
  const state = JSON.parse(exported.stdout);
  const pending = state.deployment?.pending_operations ?? [];
  if (pending.length === 0) return 0;
  note(`the last \`up\` was killed while ${pending.length} operations were under way; repairing`);
  for (const orphan of orphansOf(state.deployment)) await removeOrphan({ at, env }, stack, orphan, note);
  state.deployment.pending_operations = [];
  const args = ["stack", "import", "--stack", stack];
  await run("pulumi", args, { env, cwd, deadlineMs: 60_000, input: JSON.stringify(state) });
  return pending.length;
}

/**
 * A look at the state's file, which saves asking Pulumi: it holds the word only when operations are pending.
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 */
function mayHavePending(at, stack) {
  const file = join(at.state, ".pulumi/stacks", PROJECT, `${stack}.json`);
  return existsSync(file) && readFileSync(file, "utf8").includes('"pending_operations"');
}

/**
 * @param {URL} remote `ssh://USER@HOST:PORT`
 * @param {string[] | undefined} options
 * @returns {import("./ssh.mjs").SshNode}
 */
function signIn(remote, options) {
  // An IPv6 address stands in brackets in a URL alone.
  const address = remote.hostname.replace(/^\[|\]$/g, "");
  const ssh = { user: remote.username || "root", port: Number(remote.port || 22) };
  return options ? { address, ssh: { ...ssh, options } } : { address };
}

/**
 * @param {{at: import("./paths.mjs").Places, env: NodeJS.ProcessEnv}} context
 * @param {string} stack
 * @param {Orphan} orphan
 * @param {(text: string) => void} note
 */
async function removeOrphan({ at, env }, stack, { kind, name, host, sshOpts }, note) {
  // Only what carries the stack's label is touched.
  const list = ["ps", "--all", "--quiet", "--no-trunc"];
  const find = kind === "container" ? list : ["network", "ls", "--quiet", "--no-trunc"];
  const filters = ["--filter", `label=berth.stack=${stack}`, "--filter", `name=^${name}$`];
  const remote = host?.startsWith("ssh://") ? new URL(host) : undefined;
  const where = { folder: stackDir(at, stack), env, host, node: remote && signIn(remote, sshOpts) };
  const docker = (/** @type {string[]} */ args) => dockerOn(where, args);
  try {
    const ids = (await docker([...find, ...filters])).stdout.split(/\s+/).filter(Boolean);
    for (const id of ids) await docker(kind === "container" ? ["rm", "--force", id] : ["network", "rm", id]);
    if (ids.length > 0) note(`removed the half-made ${kind} ${name}`);
  } catch (error) {
    throwIfInterrupted();
    // Its node may be gone altogether; then so is the orphan. If not, the next `up` says that the name is taken.
    note(`could not look for a half-made ${kind} ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
