/**
 * What changed between a resource's state and its new inputs, by the official plugin's rules. Pure.
 *
 * The comparison is with the outputs in state, that is with what the engine last answered, not with the old inputs:
 * so drift that a refresh found shows up, and a state written by the official plugin is taken over as
 * it is. An absent value and a zero one are the same, but for a `computed` property: absent it never changes.
 */
import { ignored } from "../diff";
import type { Path, PropertyChange, Props, Value } from "../types";
import { hasUnknown, isProps, isUnknown } from "../values";
import { type Field, type Fields, zero } from "./field";

/**
 * @param ignoreChanges paths of the resource option of this name; what lies at or under one is left out.
 * @param oldInputs what the program said before, for maps that are `completed`; where it has no such map, all entries
 * count.
 */
export function diffFields(
  fields: Fields,
  outputs: Props,
  news: Props,
  ignoreChanges: readonly string[] = [],
  oldInputs: Props = {},
): PropertyChange[] {
  const changes: PropertyChange[] = [];
  for (const [key, field] of Object.entries(fields)) {
    if (field.output === true) continue;
    const old = named(field, get(outputs, key), get(news, key), get(oldInputs, key));
    compare(field, [key], old, get(news, key), field.replace === true, changes);
  }
  return changes.filter((change) => !ignored(change.path, ignoreChanges));
}

/** Of a map that is `completed`: the entries that the program names or named. */
export function named(field: Field, old: Value, ...program: Value[]): Value {
  if (field.completed !== true || !isProps(old)) return old;
  // Unknown, or never said by the program: then nobody can tell whose an entry is.
  if (!program.every(isProps)) return old;
  return Object.fromEntries(
    Object.entries(old).filter(([key]) => program.some((said) => Object.hasOwn(said as Props, key))),
  );
}

function compare(
  field: Field,
  path: Path,
  old: Value,
  given: Value,
  replace: boolean,
  changes: PropertyChange[],
): void {
  const next = given === null ? (field.default ?? null) : given;
  if (isUnknown(next)) {
    changes.push({ path, kind: isEmpty(field, old) ? "add" : "update", replace });
    return;
  }
  if (next === null || (next === "" && field.emptyIsAbsent === true)) {
    if (field.computed !== true && !isEmpty(field, old)) changes.push({ path, kind: "delete", replace });
    return;
  }
  if (isEmpty(field, old) && isEmpty(field, next)) return;
  if (isEmpty(field, next)) {
    if (field.computed !== true || counts(field)) changes.push({ path, kind: "delete", replace });
    return;
  }
  if (isEmpty(field, old)) {
    changes.push({ path, kind: "add", replace });
    return;
  }
  if (Array.isArray(old) && Array.isArray(next)) {
    if (field.set === true) compareSets(field, path, old, next, replace, changes);
    else compareLists(field, path, old, next, replace, changes);
    return;
  }
  if (isProps(old) && isProps(next)) {
    if (field.type === "map") compareMaps(path, old, next, replace, changes);
    else compareObjects(field.properties ?? {}, path, old, next, replace, changes);
    return;
  }
  if (typeof old === "string" && typeof next === "string" && field.same?.(old, next) === true) return;
  if (old !== next) changes.push({ path, kind: "update", replace });
}

/**
 * Of a `computed` property that the program writes down empty: does that count, or is it as good as left out? The SDK
 * that the official plugins are made with (terraform-plugin-sdk 2: diffList, diffSet, finalizeDiff of schema.go) keeps
 * the old value for an empty text alone, and holds blocks (lists of objects) that are empty and absent for the same.
 */
function counts(field: Field): boolean {
  if (field.type === "array") return field.items?.type !== "object";
  return field.type === "integer" || field.type === "number" || field.type === "boolean";
}

function compareObjects(
  fields: Fields,
  path: Path,
  old: Props,
  next: Props,
  replace: boolean,
  changes: PropertyChange[],
): void {
  for (const [key, field] of Object.entries(fields)) {
    const inner = replace || field.replace === true;
    compare(field, [...path, key], get(old, key), get(next, key), inner, changes);
  }
}

function compareMaps(path: Path, old: Props, next: Props, replace: boolean, changes: PropertyChange[]): void {
  for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
    if (key.startsWith("__")) continue;
    const [before, after] = [get(old, key), get(next, key)];
    if (before === after) continue;
    const kind = before === null ? "add" : after === null ? "delete" : "update";
    changes.push({ path: [...path, key], kind, replace });
  }
}

function compareLists(
  field: Field,
  path: Path,
  old: Value[],
  next: Value[],
  replace: boolean,
  changes: PropertyChange[],
): void {
  for (let i = 0; i < Math.max(old.length, next.length); i++) {
    if (i >= old.length) changes.push({ path: [...path, i], kind: "add", replace });
    else if (i >= next.length) changes.push({ path: [...path, i], kind: "delete", replace });
    else if (field.items)
      compare(field.items, [...path, i], old[i] ?? null, next[i] ?? null, replace, changes);
  }
}

/** Pairs equal entries off; what is left over is an edit of the entry at the same place, or one more or less. */
function compareSets(
  field: Field,
  path: Path,
  old: Value[],
  next: Value[],
  replace: boolean,
  changes: PropertyChange[],
): void {
  const item = field.items as Field;
  const left = old.map((value, index) => ({ value, index }));
  const added: { value: Value; index: number }[] = [];
  next.forEach((value, index) => {
    const at = hasUnknown(value)
      ? -1
      : left.findIndex((candidate) => sameValue(item, candidate.value, value));
    if (at >= 0) left.splice(at, 1);
    else if (!next.slice(0, index).some((earlier) => sameValue(item, earlier, value)))
      added.push({ value, index });
  });
  for (const { value, index } of added) {
    const before = left.shift();
    if (before === undefined) changes.push({ path: [...path, index], kind: "add", replace });
    else if (item.type === "object" && isProps(before.value) && isProps(value) && before.index === index) {
      compareObjects(item.properties ?? {}, [...path, index], before.value, value, replace, changes);
    } else changes.push({ path: [...path, index], kind: "update", replace });
  }
  for (const { index } of left) changes.push({ path: [...path, index], kind: "delete", replace });
}

/** True if the two values of this property mean the same. */
export function sameValue(field: Field, old: Value, next: Value): boolean {
  const changes: PropertyChange[] = [];
  compare(field, [], old, next, false, changes);
  return changes.length === 0;
}

function isEmpty(field: Field, value: Value): boolean {
  if (value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (isProps(value)) {
    const keys = Object.keys(value).filter((key) => !key.startsWith("__") && value[key] !== null);
    // An object that is there counts even if all it holds is defaults; a map without keys does not.
    return field.type === "map" && keys.length === 0;
  }
  return value === zero(field);
}

function get(bag: Props, key: string): Value {
  return Object.hasOwn(bag, key) ? (bag[key] ?? null) : null;
}
