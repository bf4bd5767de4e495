/**
 * @file What an update would do, in words: the engine's own preview says `~create,stdin` of a stage, where people ask
 * which of its steps change, who gets which GPU, and whose home goes. Read from the engine's log of events. Pure.
 */
import { called } from "./containers.mjs";
import { readStage, stageChanges } from "./stage-words.mjs";
import { tenantWords } from "./tenant-words.mjs";
import { isObject, isSecret, isUnknown, valueChanges } from "./value-words.mjs";

/**
 * A step of the engine's with one resource (apitype.StepEventMetadata).
 * @typedef {object} Step
 * @property {string} op `create`, `update`, `replace`, `delete`, …
 * @property {string} type
 * @property {string} name the resource's
 * @property {string[]} changed the properties that ask for the step
 * @property {Record<string, unknown>} old inputs before; empty: it is new
 * @property {Record<string, unknown>} now inputs after; empty: it goes
 *
 * @typedef {object} Words
 * @property {string} what
 * @property {string} where the node, where several may share the words
 * @property {string[]} lines
 * @property {boolean} [waits] {@link waitsForImage}
 */

/** Lines for people; a longer plan is for `--diff`. */
const SHOWN_LINES = 80;
/** Nodes that are named in one line. */
const SHOWN_NODES = 4;
/** The engine counts as replaced what has an image that is not built yet; most of it comes out as it was. */
const WAITING = "replaced only where the image that is built now comes out different, and kept otherwise:";

/**
 * @param {string} text the engine's log: a JSON object a line; a last one that was cut is left out
 * @returns {Step[]} those that are planned; where nothing was planned first, those that were made
 */
export function readSteps(text) {
  const events = text.split("\n").flatMap((line) => {
    try {
      const event = JSON.parse(line).resourcePreEvent;
      return isObject(event) && isObject(event.metadata) ? [event] : [];
    } catch {
      return [];
    }
  });
  const planned = events.filter(({ planning }) => planning === true);
  return (planned.length > 0 ? planned : events).map(({ metadata }) => {
    const {
      op = "",
      urn = "",
      type = "",
      old,
      new: now,
      diffs,
      detailedDiff,
    } = /** @type {any} */ (metadata);
    const paths = [...(diffs ?? []), ...Object.keys(detailedDiff ?? {})];
    const changed = [...new Set(paths.map((path) => /^[^.[]+/.exec(path)?.[0] ?? path))];
    const name = String(urn).split("::").pop() ?? "";
    return { op, type, name, changed, old: old?.inputs ?? {}, now: now?.inputs ?? {} };
  });
}

/**
 * @param {readonly Step[]} steps
 * @returns {string[]} empty: nothing that the engine's own words do not say
 */
export function changeWords(steps) {
  /** @type {Map<string, {what: string, nodes: string[], lines: string[], waits: boolean}>} */
  const groups = new Map();
  for (const { what, where, lines, waits = false } of steps.flatMap(wordsOf)) {
    // The same change on many nodes is told once.
    const key = JSON.stringify([what, lines, waits]);
    const group = groups.get(key) ?? { what, nodes: [], lines, waits };
    if (where) group.nodes.push(where);
    groups.set(key, group);
  }
  const told = [...groups.values()].map(({ what, nodes, ...rest }) => ({
    head: nodes.length > 0 ? `${what} on ${nodeList(nodes)}` : what,
    ...rest,
  }));
  const waiting = told.flatMap(({ head, waits }) => (waits ? [`  ${head}`] : []));
  const rest = told.flatMap(({ head, lines, waits }) => {
    if (waits) return [];
    if (lines.length === 1 && !lines[0]?.startsWith(" ")) return [`${head}: ${lines[0]}`];
    return [lines.length > 0 ? `${head}:` : head, ...lines.map((line) => `  ${line}`)];
  });
  const all = waiting.length > 0 ? [WAITING, ...waiting, ...rest] : rest;
  return all.length > SHOWN_LINES
    ? [...all.slice(0, SHOWN_LINES), `… and ${all.length - SHOWN_LINES} more lines`]
    : all;
}

/** @param {string[]} nodes */
function nodeList(nodes) {
  const rest = nodes.length - SHOWN_NODES;
  return rest > 0 ? `${nodes.slice(0, SHOWN_NODES).join(", ")} and ${rest} more` : nodes.join(", ");
}

/**
 * @param {Step} step
 * @returns {Words[]}
 */
function wordsOf(step) {
  if (/^(pulumi|berth):/.test(step.type)) return [];
  if (step.type.endsWith(":GpuPool")) return poolWords(step);
  if (step.type.endsWith(":RayToken")) return tokenWords(step);
  if (step.type.endsWith(":Container")) return containerWords(step);
  if (step.type === "command:remote:Command") return commandWords(step);
  if (step.op !== "update" && step.op !== "replace") return [];
  if (step.type.endsWith(":RemoteImage") && waitsForImage(step, "name"))
    return [{ what: step.name, where: "", lines: [], waits: true }];
  const lines = step.type.startsWith("command:") ? ["runs again"] : propertyChanges(step);
  return [{ what: step.name, where: "", lines: withVerb(step.op, lines) }];
}

/**
 * Whether the image is all that it may be replaced for, and which one that will be is not known before it is built.
 * @param {Step} step
 * @param {string} property that says which image it has
 */
const waitsForImage = ({ op, changed, now }, property) =>
  op === "replace" && changed.length === 1 && changed[0] === property && isUnknown(now[property]);

/**
 * @param {string} op
 * @param {string[]} lines
 */
const withVerb = (op, lines) => (op === "replace" ? ["is replaced", ...lines] : lines);

/** @param {Step} step */
function propertyChanges({ changed, old, now }) {
  return changed.flatMap((key) => {
    const lines = valueChanges(old[key], now[key], key);
    // The engine sees a difference that is not in what the program asks for: somebody changed the thing itself.
    return lines.length > 0 ? lines : [`${key}: is otherwise than the stack says`];
  });
}

/**
 * A stage of a node.
 * @param {Step} step
 * @returns {Words[]}
 */
function commandWords(step) {
  const { op, name, changed, old, now } = step;
  const after = readStage(now.update ?? now.create);
  const purged = /^purge-(.+)$/.exec(after?.stage ?? "")?.[1];
  if (op === "create" && after && purged)
    return [
      { what: `${purged}'s home and other folders`, where: after.node, lines: ["are deleted for good"] },
    ];
  if (op !== "update" && op !== "replace") return [];
  const before = readStage(old.update ?? old.create);
  if (!before || !after) {
    const unknown = isUnknown(now.update ?? now.create);
    return [
      { what: name, where: "", lines: [unknown ? "may run again: its text is not known yet" : "runs again"] },
    ];
  }
  const rest = changed.filter((key) => !["create", "update", "delete"].includes(key));
  const lines = [
    ...stageChanges(before, after),
    ...rest.flatMap((key) => (key === "stdin" ? inputChanges(old.stdin, now.stdin) : propertyOf(key, step))),
  ];
  const leaving =
    after.stage === "agent" && changed.includes("stdin") ? tenantWords(old.stdin, now.stdin) : [];
  return [
    // First: it may be for good.
    ...leaving.map(({ what, line }) => ({ what, where: after.node, lines: [line] })),
    { what: `stage ${after.stage}`, where: after.node, lines: lines.length > 0 ? lines : ["runs again"] },
  ];
}

/**
 * @param {string} key
 * @param {Step} step
 */
const propertyOf = (key, step) => propertyChanges({ ...step, changed: [key] });

/**
 * What a stage reads from standard input: a document, or secrets.
 * @param {unknown} before
 * @param {unknown} after
 */
function inputChanges(before, after) {
  if (isSecret(before) || isSecret(after)) return ["other files or secrets than before (not shown)"];
  try {
    return valueChanges(JSON.parse(String(before)), JSON.parse(String(after)));
  } catch {
    return ["other input than before"];
  }
}

/**
 * Labels as the program writes them (core/containers/labels.ts).
 * @param {Record<string, unknown>} inputs
 * @returns {Record<string, string>}
 */
function labelsOf({ labels }) {
  const list = /** @type {{label: string, value: string}[]} */ (Array.isArray(labels) ? labels : []);
  return Object.fromEntries(list.map(({ label, value }) => [label, value]));
}

/**
 * @param {Step} step
 * @returns {Words[]}
 */
function containerWords(step) {
  const { op, name, now, old } = step;
  const of = labelsOf(Object.keys(now).length > 0 ? now : old);
  const { "berth.owner": owner, "berth.component": component, "berth.node": node } = of;
  if (!owner || !component) return [];
  const machine = component === "node" ? { machine: node ?? name } : {};
  const what = called({ owner, component, node: undefined, ...machine });
  const where = machine.machine === undefined ? (node ?? "") : "";
  const said = (/** @type {string[]} */ ...lines) => [{ what, where, lines }];
  if (op === "create") return said("is new");
  if (op === "delete") return said(component === "workspace" ? "goes; the home stays on the node" : "goes");
  if (op !== "update" && op !== "replace") return [];
  if (waitsForImage(step, "image")) return [{ what, where, lines: [], waits: true }];
  return said(...withVerb(op, propertyChanges(step)));
}

/**
 * Who has Ray's token by name, and whether it is another one (components/ray/generation.ts), which ends what runs in Ray.
 * @param {Step} step
 * @returns {Words[]}
 */
function tokenWords({ op, old, now }) {
  const said = (/** @type {string[]} */ ...lines) => [{ what: "Ray's token", where: "", lines }];
  const names = (/** @type {unknown} */ list) => (Array.isArray(list) ? list.map(String) : []);
  const [before, after] = [names(old.access), names(now.access)];
  const who = after.join(", ") || "nobody";
  if (op === "delete") return said("is no longer for those who were named; what runs in Ray ends");
  if (op === "create")
    return said(`is a new one, for ${who} alone; where Ray runs already, what runs in it ends`);
  if (op !== "update") return [];
  if (old.generation !== now.generation)
    return said(
      `is another one, for ${who}; Ray starts anew on every node with it, and what runs in it ends`,
    );
  const comes = after.filter((name) => !before.includes(name));
  const goes = before.filter((name) => !after.includes(name));
  return said(
    ...comes.map((name) => `${name} gets it`),
    ...goes.map((name) => `${name}, who leaves, has no more part in it`),
  );
}

/**
 * Who gets which GPU, and whose goes.
 * @param {Step} step
 * @returns {Words[]}
 */
function poolWords({ op, old, now }) {
  const where = String(now.node ?? old.node ?? "");
  const what = "GPUs";
  if (op === "delete") return [{ what, where, lines: ["all that the stack granted is given back"] }];
  if (!["create", "update", "replace"].includes(op)) return [];
  if (now.assignment === undefined || isUnknown(now.assignment))
    return [{ what, where, lines: ["who gets which is known once the node has answered"] }];
  // A state that an older version wrote has lines for people alone, which are told and compared as they are.
  const by = old.assignment === undefined && old.grants !== undefined ? "grants" : "assignment";
  const [before, after] = [old[by], now[by]].map((kept) => (isObject(kept) ? kept : {}));
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].sort();
  const lines = keys.flatMap((key) => {
    const units = (/** @type {unknown} */ value) => new Map(Array.isArray(value) ? value.map(unitWords) : []);
    const [had, gets] = [units(before?.[key]), units(after?.[key])];
    const without = (/** @type {typeof had} */ all, /** @type {typeof had} */ others) =>
      [...all].flatMap(([unit, words]) => (others.has(unit) ? [] : [words]));
    const [loses, wins] = [without(had, gets), without(gets, had)];
    const who = key.replace(/^workspace\/(.+)$/, "$1's workspace").replace(/^ray$/, "Ray");
    return [
      ...(loses.length > 0 ? [`${who} gives back ${loses.join("; ")}`] : []),
      ...(wins.length > 0 ? [`${who} gets ${wins.join("; ")}`] : []),
    ];
  });
  return lines.length > 0 ? [{ what, where, lines }] : [];
}

/**
 * What a granted unit is told apart by, and its words: `0:1 1g.10gb, 9984 MiB of NVIDIA H100 80GB HBM3`.
 * @param {unknown} unit of core/gpu's Assignment, or a line
 * @returns {[string, string]}
 */
function unitWords(unit) {
  if (!isObject(unit)) return [String(unit), String(unit)];
  const { uuid, name, profile, shared, memoryMiB, model } = unit;
  const kind = profile ?? (shared ? "shared" : "");
  const size = Number(memoryMiB) > 0 ? `${memoryMiB} MiB` : "memory unknown";
  return [`${uuid} ${size}`, `${`${name} ${kind}`.trim()}, ${size} of ${model}`];
}
