/**
 * @file What is up just now: asked of the nodes themselves, over one SSH connection each, side by side.
 */
import { MARK } from "../node/facts.mjs";
import { CONTAINER_FORMAT, called, downOf, readContainer, withUndescribed } from "./containers.mjs";
import { CommandError, run } from "./process.mjs";
import { asRoot, sshToNode } from "./ssh.mjs";

/** A node that has not answered after so long is taken for unreachable. */
const ASK_MS = 10_000;

/**
 * @typedef {{name: string, kind: string, role: string, address: string, privateAddress: string,
 *   ssh?: import("./ssh.mjs").SshNode["ssh"]}} OutputNode
 * @typedef {{name: string, node: string, desiredState: string, ssh: {host: string, port: number},
 *   urls: {code: string, jupyter: string, tensorboard: string}, tunnel?: string}} OutputUser `tunnel`: the command that
 *   `urls` need on the person's own computer; left out where the node publishes the services
 * @typedef {{address: string, dashboard: string}} OutputRay
 * @typedef {{nodes?: OutputNode[], users?: OutputUser[], ray?: OutputRay,
 *   managers?: Record<string, {DOCKER_HOST: string, DOCKER_HOST_URL: string}>}} Outputs
 *
 * @typedef {"up" | "out" | "unreachable"} NodeState `out`: it answers, and `npm run node` took it out of the cluster
 * @typedef {Pick<import("../node/plan.mjs").Mark, "since" | "reason" | "by" | "keep">} Out
 * @typedef {"running" | "starting" | "unhealthy" | "stopped" | "missing" | "unknown"} UserState `unknown`: its node
 *   cannot be asked, or did not describe all of its containers
 *
 * @typedef {import("./containers.mjs").Container} Container
 * @typedef {import("./containers.mjs").Down} Down
 * @typedef {import("./containers.mjs").Expected} Expected
 *
 * @typedef {object} NodeAnswer
 * @property {Container[]} containers
 * @property {import("./containers.mjs").HeldBack[]} [heldBack] what berthd says of those that Docker could not start
 * @property {number | null} rayNodes live nodes of the Ray cluster, where this one knows
 * @property {Out} [out] there while the node is out
 *
 * @typedef {object} Status  what `npm run -s status -- --json` prints
 * @property {string} stack
 * @property {(OutputNode & {state: NodeState, out?: Out})[]} nodes
 * @property {(Omit<OutputUser, "desiredState"> & {state: UserState})[]} users
 * @property {{address: string, dashboard: string, nodes: number | null} | null} ray `nodes`: how many are alive;
 *   null when the head does not say
 * @property {{container: string, node: string | null, component: string, owner: string, state: string, why: string}[]} down
 *   containers that should run and do not; `node`: null on the operator's own engine
 */

const BERTHD = "/run/berth/berthd.sock";

/**
 * The script that a node runs: its containers of this stack, and on the head how many Ray nodes live. Ray's page asks
 * for the token, which is read inside the container and goes nowhere else.
 * @param {string} stack a checked name
 * @param {boolean} head
 */
export function probeScript(stack, head) {
  const lines = [
    "set -eu",
    `ids=$(docker ps --all --quiet --no-trunc --filter label=berth.stack=${stack})`,
    // One that goes meanwhile is no error. Those that are listed and not described are told apart by the list.
    `for id in $ids; do printf 'I\\t%s\\n' "$id"; done`,
    `[ -z "$ids" ] || docker inspect --type container --format '${CONTAINER_FORMAT}' $ids 2>/dev/null || true`,
    `if [ -S ${BERTHD} ]; then`,
    // An older berthd knows the second of the two.
    `  ask() { curl -sf -m 3 --unix-socket ${BERTHD} "http://berthd/$1/held-back"; }`,
    "  held=$({ ask api || ask v1; } | base64 -w 0) || held=",
    "  printf 'H\\t%s\\n' \"$held\"",
    "fi",
    `if [ -e ${MARK} ]; then printf 'M\\t%s\\n' "$(base64 -w 0 ${MARK})"; fi`,
    "echo END",
  ];
  if (head) {
    lines.push(
      `ray=$(docker ps --quiet --filter label=berth.stack=${stack} --filter label=berth.component=ray | head -n 1)`,
      // Ray's tasks have the same account: they could write into this answer, as much and whatever they like.
      `if [ -n "$ray" ]; then alive=$(timeout 5 docker exec -i "$ray" python3 -I - 2>/dev/null <<'PYTHON' | head -c 20 || true`,
      "import json, os, urllib.request",
      'token = open(os.environ["RAY_AUTH_TOKEN_PATH"]).read().strip()',
      'port = json.loads(os.environ["BERTH_RAY_PORTS"])["dashboard"]',
      'url = "http://%s:%s/nodes?view=summary" % (os.environ["BERTH_RAY_DASHBOARD_HOST"], port)',
      'request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})',
      "opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))",
      'nodes = json.load(opener.open(request, timeout=4))["data"]["summary"]',
      'print(sum(node.get("raylet", {}).get("state") == "ALIVE" for node in nodes))',
      "PYTHON",
      "  )",
      `  case $alive in '' | *[!0-9]*) ;; *) printf 'R\\t%s\\n' "$alive" ;; esac`,
      "fi",
    );
  }
  return `${lines.join("\n")}\n`;
}

/**
 * @param {string} text what the script printed
 * @returns {NodeAnswer | undefined} undefined: it did not get as far as its list's end
 */
export function readProbe(text) {
  const lines = text.split("\n");
  if (!lines.includes("END")) return undefined;
  /** @type {NodeAnswer} */
  const answer = { containers: [], rayNodes: null };
  const ids = [];
  for (const line of lines) {
    const container = readContainer(line);
    if (container) answer.containers.push(container);
    const [kind, value = ""] = line.split("\t");
    if (kind === "I") ids.push(value);
    if (kind === "H") answer.heldBack = readHeldBack(value);
    if (kind === "M") answer.out = readMark(value);
    if (kind === "R" && /^\d+$/.test(value)) answer.rayNodes = Number(value);
  }
  answer.containers = withUndescribed(ids, answer.containers);
  return answer;
}

/**
 * @param {string} text base64; empty: berthd did not answer, or is older than the question
 * @returns {import("./containers.mjs").HeldBack[]}
 */
function readHeldBack(text) {
  try {
    const { containers } = JSON.parse(Buffer.from(text, "base64").toString());
    return Array.isArray(containers) ? containers : [];
  } catch {
    return [];
  }
}

/**
 * @param {string} text base64
 * @returns {Out}
 */
function readMark(text) {
  try {
    const { since, reason, by, keep } = JSON.parse(Buffer.from(text, "base64").toString());
    return { since, reason, by, keep };
  } catch {
    // It is out all the same.
    return { since: "?", reason: `${MARK} there is no JSON`, by: "drain", keep: true };
  }
}

/**
 * @param {NodeAnswer | undefined} answer its node's
 * @param {string} user
 * @returns {UserState}
 */
export function userState(answer, user) {
  if (!answer) return "unknown";
  const found = answer.containers.find(({ owner, component }) => owner === user && component === "workspace");
  if (!found) return answer.containers.some(({ state }) => state === "unknown") ? "unknown" : "missing";
  if (found.state === "restarting") return "unhealthy";
  if (found.state !== "running") return "stopped";
  if (found.health === "unhealthy") return "unhealthy";
  return found.health === "starting" ? "starting" : "running";
}

/**
 * @param {string} stack
 * @param {Outputs} outputs
 * @param {Map<string, NodeAnswer | undefined>} answers by node name
 * @param {{expected?: readonly Expected[], engine?: readonly Container[] | undefined}} [more] `engine`: what is on the
 *   operator's own engine; undefined: it was not asked
 * @returns {Status}
 */
export function assemble(stack, outputs, answers, { expected = [], engine } = {}) {
  const nodes = (outputs.nodes ?? []).map(({ name, kind, role, address, privateAddress }) => {
    const answer = answers.get(name);
    const out = answer?.out;
    const state = /** @type {NodeState} */ (out ? "out" : answer ? "up" : "unreachable");
    return { name, kind, role, address, privateAddress, state, ...(out ? { out } : {}) };
  });
  const users = (outputs.users ?? []).map(({ name, node, ssh, urls, tunnel }) => {
    const state = userState(answers.get(node), name);
    return { name, node, state, ssh, urls, ...(tunnel === undefined ? {} : { tunnel }) };
  });
  const head = nodes.find(({ role }) => role === "head");
  const alive = head ? (answers.get(head.name)?.rayNodes ?? null) : null;
  const ray = outputs.ray
    ? { address: outputs.ray.address, dashboard: outputs.ray.dashboard, nodes: alive }
    : null;
  const down = downOn(expected, answers, engine).map(
    ({ name, node, component, owner, state, why, machine }) => {
      return { container: name, node: node ?? machine ?? null, component, owner, state, why };
    },
  );
  return { stack, nodes, users, ray, down };
}

/**
 * Containers that should run and do not. A node that is out is left out: what is down there is so on purpose.
 * @param {readonly Expected[]} expected
 * @param {Map<string, NodeAnswer | undefined>} answers by node name
 * @param {readonly Container[] | undefined} engine
 * @returns {Down[]}
 */
export function downOn(expected, answers, engine) {
  return downOf(expected, (node) => {
    if (node === undefined) return engine && { containers: engine };
    const answer = answers.get(node);
    return answer?.out ? undefined : answer;
  });
}

/**
 * @param {string} name
 * @param {Out} out
 */
function wayBack(name, { by, keep }) {
  return keep
    ? `npm run node -- undrain ${name} takes it back`
    : `unless it is being done just now, npm run node -- ${by} ${name} goes on`;
}

/**
 * What is not as the stack wants it.
 * @param {Status} status
 * @param {Outputs} outputs
 * @returns {string[]} a line each; empty: all is up
 */
export function problemsOf(status, outputs) {
  const problems = status.nodes
    .filter(({ state }) => state !== "up")
    .map(({ name, out }) =>
      out
        ? `node ${name} is out since ${out.since} (${out.reason}); ${wayBack(name, out)}`
        : `node ${name} is unreachable`,
    );
  for (const { name, state } of status.users) {
    const desired = outputs.users?.find((user) => user.name === name)?.desiredState ?? "running";
    const told = status.down.some(({ component, owner }) => component === "workspace" && owner === name);
    if (!told && (desired === "removed" ? state !== "missing" : state !== desired))
      problems.push(`${name}'s workspace is ${state}`);
  }
  for (const { component, owner, node, why } of status.down) {
    const machine = component === "node" && node !== null ? { machine: node } : {};
    problems.push(`${called({ owner, component, node: node ?? undefined, ...machine })} ${why}`);
  }
  if (status.ray && status.ray.nodes !== status.nodes.length) {
    const alive = status.ray.nodes ?? "an unknown number";
    problems.push(`Ray has ${alive} of ${status.nodes.length} nodes`);
  }
  return problems;
}

/**
 * @param {string} stack
 * @param {Outputs} outputs
 * @param {{folder: string, env: NodeJS.ProcessEnv, warn: (line: string) => void}} context `folder`: the stack's, with
 *   the key and the known hosts
 * @returns {Promise<Map<string, NodeAnswer | undefined>>}
 */
export async function askNodes(stack, outputs, { folder, env, warn }) {
  const asked = (outputs.nodes ?? []).map(async (node) => {
    const { name, role, address } = node;
    const args = [...sshToNode(folder, node, { connectSeconds: 4 }), asRoot(node, "bash -s")];
    const input = probeScript(stack, role === "head");
    try {
      const { stdout } = await run("ssh", args, { env, input, deadlineMs: ASK_MS });
      return /** @type {const} */ ([name, readProbe(stdout)]);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      warn(
        `${name} (${node.ssh?.user ?? "root"}@${address}): ${error.output.filter(Boolean).at(-1) ?? error.message}`,
      );
      return /** @type {const} */ ([name, undefined]);
    }
  });
  return new Map(await Promise.all(asked));
}

/**
 * The stack's containers on the operator's own engine.
 * @param {string} stack a checked name
 * @param {string | undefined} host the engine's address, `unix:///var/run/docker.sock`; undefined: docker's default
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Container[]>}
 * @throws {CommandError} it does not answer
 */
export async function askEngine(stack, host, env) {
  const docker = (/** @type {string[]} */ args, /** @type {number[]} */ okCodes) =>
    run("docker", [...(host ? ["--host", host] : []), ...args], { env, deadlineMs: ASK_MS, okCodes });
  const list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", `label=berth.stack=${stack}`];
  const ids = (await docker(list, [0])).stdout.split(/\s+/).filter(Boolean);
  if (ids.length === 0) return [];
  // 1: one of them went meanwhile, or the engine failed.
  const { stdout } = await docker(
    ["inspect", "--type", "container", "--format", CONTAINER_FORMAT, ...ids],
    [0, 1],
  );
  return withUndescribed(
    ids,
    stdout.split("\n").flatMap((line) => readContainer(line) ?? []),
  );
}
