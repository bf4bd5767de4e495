/**
 * @file What changes in a host stage, read from its old and its new text (components/host/stage.ts). Pure.
 */
import { cut } from "./format.mjs";

/**
 * @typedef {object} StageText
 * @property {string} stage its name, such as `base`
 * @property {string} node
 * @property {string} machine the id that the text is bound to, or ""
 * @property {string} shared what stands before its steps: the library that stages share
 * @property {string} facts what it is told besides its steps, such as the container that it is for
 * @property {Map<string, string>} steps by name, in their order
 */

/** Lines of one step that are shown before "and N more". */
const SHOWN_LINES = 6;
/** Characters of a line that are shown. */
const SHOWN_WIDTH = 100;

/** Characters before the first difference of a long line that are shown. */
const SHOWN_CONTEXT = 20;

/** @param {string} word as `quote` of components/host/shell.ts writes it */
const unquote = (word) => word.replace(/^'([\s\S]*)'$/, "$1").replaceAll(`'\\''`, "'");

/**
 * @param {unknown} text a command's `create` or `update`
 * @returns {StageText | undefined} undefined: it is no stage's, or is not known yet
 */
export function readStage(text) {
  if (typeof text !== "string") return undefined;
  const [, stage, node] = /^# Berth, host stage "([^"]+)" of (\S+)\. Rendered/m.exec(text) ?? [];
  if (stage === undefined || node === undefined) return undefined;
  const calls = [...text.matchAll(/^step (.+) \d+ step_(\d+)$/gm)];
  /** @type {Map<string, string>} */
  const steps = new Map();
  for (const [, name = "", index] of calls) {
    const body = new RegExp(`^step_${index}\\(\\) \\{\\n([\\s\\S]*?)\\n\\}$\\n(?=step_|begin)`, "m");
    steps.set(unquote(name), body.exec(text)?.[1] ?? "");
  }
  return {
    stage,
    node,
    steps,
    machine: /\n# machine (\S+)\s*$/.exec(text)?.[1] ?? "",
    shared: text.slice(0, Math.max(0, text.search(/^step_1\(\) \{$/m))),
    facts: (text.match(/^fact(?:_json)? .*$/gm) ?? []).join("\n"),
  };
}

/**
 * What another text means, in words; lines of a step's text are set in by two blanks and marked with + or -.
 * @param {StageText} before
 * @param {StageText} after
 * @returns {string[]} empty: nothing but the way it is written
 */
export function stageChanges(before, after) {
  const lines = [];
  if (before.machine !== after.machine) lines.push("runs again, for another machine");
  if (before.facts !== after.facts) lines.push("runs again, for another container");
  for (const [name, body] of after.steps) {
    const old = before.steps.get(name);
    if (old === undefined) lines.push(`new step "${name}"`);
    else if (old !== body) lines.push(`step "${name}"`, ...lineChanges(old, body).map((line) => `  ${line}`));
  }
  for (const name of before.steps.keys())
    if (!after.steps.has(name)) lines.push(`no step "${name}" any more`);
  if (lines.length === 0 && before.shared !== after.shared)
    lines.push("runs again: what all stages share has changed");
  return lines;
}

/**
 * @param {string} before
 * @param {string} after
 * @returns {string[]} `- …` for lines that go, `+ …` for those that come, cut to what a person reads
 */
export function lineChanges(before, after) {
  const [old, now] = [before, after].map((text) => text.split("\n").map((line) => line.trim()));
  const found = changedLines(old ?? [], now ?? []).filter((line) => line.length > 2);
  const shown = found.slice(0, SHOWN_LINES).map((line, i) => {
    const other = line.startsWith("-") ? found[i + 1] : found[i - 1];
    return fromDifference(line, other !== undefined && other[0] !== line[0] ? other : "");
  });
  return found.length > SHOWN_LINES ? [...shown, `… and ${found.length - SHOWN_LINES} more lines`] : shown;
}

/**
 * A long line as a person reads it: from where it differs from the one that it replaces.
 * @param {string} line with its mark
 * @param {string} other likewise; "" where it replaces none
 */
function fromDifference(line, other) {
  if (line.length <= SHOWN_WIDTH) return line;
  let same = 1;
  while (same < line.length && line[same] === other[same]) same++;
  const from = same < SHOWN_WIDTH / 2 ? 0 : line.lastIndexOf(" ", same - SHOWN_CONTEXT) + 1;
  const text = from <= 2 ? line : `${line.slice(0, 2)}…${line.slice(from)}`;
  return cut(text, SHOWN_WIDTH);
}

/**
 * The lines outside a longest common subsequence.
 * @param {string[]} old
 * @param {string[]} now
 */
function changedLines(old, now) {
  const width = now.length + 1;
  const longest = new Uint32Array((old.length + 1) * width);
  const at = (/** @type {number} */ i, /** @type {number} */ j) => longest[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = now.length - 1; j >= 0; j--)
      longest[i * width + j] =
        old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const changed = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) [i, j] = [i + 1, j + 1];
    else if (i < old.length && (j === now.length || at(i + 1, j) >= at(i, j + 1)))
      changed.push(`- ${old[i++]}`);
    else changed.push(`+ ${now[j++]}`);
  }
  return changed;
}
