/**
 * @file Containers that should run, whether they do, and why not. Pure: who asks the engines is live.mjs and down.mjs.
 */
import { cut, printable } from "./format.mjs";
import { asLists } from "./outputs.mjs";

/**
 * @typedef {object} Container  as its engine has it
 * @property {string} id
 * @property {string} name
 * @property {string} owner a user, or `system`
 * @property {string} component `workspace`, `ray`, `registry`, `node`, …
 * @property {string} state as Docker says it: running, exited, created, restarting, paused, dead; or `unknown`: Docker
 *   lists it and did not describe it
 * @property {string} health `healthy`, `unhealthy`, `starting`; empty: it has no check
 * @property {number} exitCode of its last end
 * @property {boolean} oom it ended because its memory was used up
 * @property {string} since RFC 3339, when it ended
 * @property {string} error what kept it from starting, in Docker's words
 *
 * @typedef {object} HeldBack  as berthd says of a container that Docker could not start
 * @property {string} container its id
 * @property {string} why
 * @property {number} [next] when it is tried again, in milliseconds since the epoch
 *
 * @typedef {object} Expected  a container that the stack wants to run
 * @property {string} urn
 * @property {string} id
 * @property {string} name
 * @property {string} owner
 * @property {string} component
 * @property {string | undefined} node whose engine it is on; undefined: the operator's own
 * @property {string | undefined} host the operator's engine, as the provider has it
 * @property {string} [machine] of a local node's own container: the node
 * @property {true} [pending] an update that was cut off had removed it and not made it again; the next one makes it
 *
 * @typedef {Expected & {state: string, why: string, held?: true}} Down  `held`: berthd holds it back, and starts it
 *   itself as soon as it may
 */

// By the names of docker's own types: with `.Id` it would go by the answer's JSON, where a container without a check has
// no `.State.Health` and so the whole line is an error.
const FIELDS = [
  "{{.ID}}",
  "{{.Name}}",
  '{{index .Config.Labels "berth.owner"}}',
  '{{index .Config.Labels "berth.component"}}',
  "{{.State.Status}}",
  "{{if .State.Health}}{{.State.Health.Status}}{{end}}",
  "{{.State.ExitCode}}",
  "{{.State.OOMKilled}}",
  "{{.State.FinishedAt}}",
  // As JSON: it may have several lines.
  "{{json .State.Error}}",
];

/** For `docker inspect --format`: a line that {@link readContainer} takes. */
export const CONTAINER_FORMAT = ["C", ...FIELDS].join('{{"\\t"}}');

/**
 * @param {string} line
 * @returns {Container | undefined} undefined: it is none
 */
export function readContainer(line) {
  const [kind, id = "", name = "", owner = "", component = "", state = "", ...rest] = line.split("\t");
  if (kind !== "C" || rest.length < 4) return undefined;
  const [health = "", exitCode = "", oom = "", since = "", ...error] = rest;
  return {
    ...{ id, name: name.replace(/^\//, ""), owner, component, state, health },
    exitCode: Number(exitCode) || 0,
    oom: oom === "true",
    since,
    error: textOf(error.join("\t")),
  };
}

/**
 * What an engine has, from its list and from what it described of it. The two are asked one after the other: one that
 * was listed and not described went meanwhile, or the engine failed. It does not count as removed.
 * @param {readonly string[]} ids all that it listed
 * @param {readonly Container[]} described
 * @returns {Container[]}
 */
export function withUndescribed(ids, described) {
  const known = new Set(described.map(({ id }) => id));
  const blank = {
    name: "",
    owner: "",
    component: "",
    health: "",
    exitCode: 0,
    oom: false,
    since: "",
    error: "",
  };
  const others = ids.filter((id) => !known.has(id)).map((id) => ({ ...blank, id, state: "unknown" }));
  return [...described, ...others];
}

/** @param {string} json */
function textOf(json) {
  try {
    return String(JSON.parse(json));
  } catch {
    return "";
  }
}

/**
 * The containers that must run, from an exported deployment: whatever kind they are, on whatever engine. Only a
 * workspace may be wanted down, and whether it is stands in the stack's outputs: after a refresh `mustRun` says what the
 * plugin read, no longer what the program wants.
 * @param {any} deployment the `deployment` of `pulumi stack export`
 * @returns {Expected[]}
 */
export function expectedOf(deployment) {
  const resources = deployment?.resources ?? [];
  const hosts = new Map(
    resources
      .filter((/** @type {any} */ one) => one.type === "pulumi:providers:docker")
      .map((/** @type {any} */ one) => [`${one.urn}::${one.id}`, one.inputs?.host]),
  );
  const stopped = stoppedUsers(resources);
  /** @type {Expected[]} */
  const expected = [];
  for (const { type, urn, id, inputs, provider, delete: old, pendingReplacement } of resources) {
    if (type !== "docker:index/container:Container" || old === true || !id) continue;
    if (inputs?.start === false) continue;
    const labels = new Map(
      (Array.isArray(inputs?.labels) ? inputs.labels : []).map((/** @type {any} */ one) => [
        one?.label,
        one?.value,
      ]),
    );
    const [owner, component] = [labels.get("berth.owner"), labels.get("berth.component")];
    if (typeof owner !== "string" || typeof component !== "string") continue;
    if (component === "workspace" && stopped.has(owner)) continue;
    const node = labels.get("berth.node");
    const host = hosts.get(provider);
    const remote = typeof host === "string" && host.startsWith("ssh://");
    expected.push({
      ...{ urn, id, name: String(inputs?.name ?? id.slice(0, 12)), owner, component },
      node: remote && typeof node === "string" ? node : undefined,
      host: !remote && typeof host === "string" ? host : undefined,
      ...(component === "node" && typeof node === "string" ? { machine: node } : {}),
      ...(pendingReplacement === true ? { pending: /** @type {const} */ (true) } : {}),
    });
  }
  return expected;
}

/**
 * The users whose workspace the stack wants down.
 * @param {readonly any[]} resources
 * @returns {Set<string>}
 */
function stoppedUsers(resources) {
  /** @type {any[]} */
  const users = rootOutputs(resources).users ?? [];
  return new Set(
    users
      .filter((one) => typeof one?.desiredState === "string" && one.desiredState !== "running")
      .map(({ name }) => name),
  );
}

/**
 * What the program exports, as of the last update that ended well; `nodes` and `users` as lists.
 * @param {readonly any[]} resources of an exported deployment
 * @returns {Record<string, any>}
 */
export function rootOutputs(resources) {
  const root = resources.find(({ type, delete: old }) => type === "pulumi:pulumi:Stack" && old !== true);
  return asLists(root?.outputs ?? {});
}

/**
 * Those of the expected that do not run.
 * @param {readonly Expected[]} expected
 * @param {(node: string | undefined) => {containers: readonly Container[], heldBack?: readonly HeldBack[]} | undefined} answer
 *   of the node's engine, or (undefined) of the operator's; undefined: it could not be asked, so nobody knows
 * @returns {Down[]}
 */
export function downOf(expected, answer) {
  return expected.flatMap((one) => {
    const said = answer(one.node);
    if (!said) return [];
    const found = said.containers.find(({ id }) => id === one.id);
    if (found?.state === "running") return [];
    if (!found && one.pending)
      return [{ ...one, state: "missing", why: "was being replaced when an update was cut off" }];
    const held = said.heldBack?.find(({ container }) => container === one.id);
    const why = whyDown(found, held);
    return [
      {
        ...one,
        state: found?.state ?? "missing",
        why,
        ...(held ? { held: /** @type {const} */ (true) } : {}),
      },
    ];
  });
}

/**
 * @param {Container | undefined} container undefined: it is not there
 * @param {HeldBack} [held]
 * @returns {string} a part of a sentence that begins with the container
 */
export function whyDown(container, held) {
  if (!container) return "is no longer there";
  const { state, exitCode, oom, error, since } = container;
  const ended = /^[1-9]/.test(since) ? ` at ${since.replace(/\.\d+/, "")}` : "";
  const code = oom ? `status ${exitCode} (out of memory)` : `status ${exitCode}`;
  const said = error.trim() === "" ? "" : `; Docker says: ${oneLine(error)}`;
  const berthd = held ? `; berthd holds it back: ${oneLine(held.why)}${again(held)}` : "";
  switch (state) {
    case "created":
      return `was made and never started${said}${berthd}`;
    case "restarting":
      return `ended with ${code}${ended}, and is started again and again${said}`;
    case "unknown":
      return "could not be looked at: Docker lists it and did not describe it";
    case "paused":
      return "is paused: docker unpause goes on with it";
    case "exited":
      // Docker writes 128 down for one that it could not start; that is no word of the program's.
      return error && exitCode === 128
        ? `could not be started${said}${berthd}`
        : `ended with ${code}${ended}${said}${berthd}`;
    default:
      return `is ${state}${said}${berthd}`;
  }
}

/** @param {HeldBack} held */
function again({ next }) {
  return next === undefined ? "" : ` (tried again at ${new Date(next).toISOString().replace(/\.\d+/, "")})`;
}

/**
 * Docker's words have the paths in them at which a start failed, and whoever has root in a container makes those.
 * @param {string} text
 */
function oneLine(text) {
  return cut(printable(text.trim().replace(/\s+/g, " ")), 300);
}

/**
 * What a person calls it.
 * @param {Pick<Expected, "owner" | "component" | "node" | "machine">} container
 */
export function called({ owner, component, node, machine }) {
  if (component === "workspace") return `${owner}'s workspace`;
  if (machine !== undefined) return `the container of node ${machine}`;
  const where = node === undefined ? "" : ` on ${node}`;
  return component === "ray" ? `Ray${where}` : `the ${component}${where}`;
}
