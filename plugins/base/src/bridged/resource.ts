/** What the resource types share: schema check with defaults, names, diff by the official rules, secrets. */
import { randomBytes } from "node:crypto";
import type {
  CheckFailure,
  CheckRequest,
  Context,
  DiffRequest,
  DiffResult,
  Path,
  PropertyChange,
  Props,
  ReadRequest,
  ReadResult,
  Schema,
  Value,
} from "../types";
import { isUnknown, UNKNOWN } from "../values";
import { str, strings } from "./access";
import { DEFAULTS, plainProps, withDefaults } from "./defaults";
import { diffFields, named, sameValue } from "./diff";
import type { Field, Fields } from "./field";
import { importInputsOf } from "./imports";

/** The table as the server checks it: inputs alone, and no defaults, for `__defaults` must know which were filled in. */
export function inputSchema(fields: Fields): Schema {
  const out: Record<string, Schema[string]> = {};
  for (const [key, field] of Object.entries(fields)) {
    if (field.output === true) continue;
    const { default: _, items, properties, ...rest } = field;
    out[key] = {
      ...rest,
      ...(items === undefined ? {} : { items: inputSchema({ items }).items as Schema[string] }),
      ...(properties === undefined ? {} : { properties: inputSchema(properties) }),
    };
  }
  return out;
}

/**
 * Fills in the defaults, makes up a name where none is given (kept from then on), and checks patterns.
 *
 * @param named false: the name is no input that can be made up.
 */
export function checkResource(
  fields: Fields,
  req: CheckRequest,
  ctx: Context,
  named = true,
): { inputs: Props; failures: CheckFailure[] } {
  const given = req.news.values;
  const failures: CheckFailure[] = [];
  checkPatterns(fields, given, "", failures);
  const filled = fillDefaults(fields, given);
  const more: string[] = [];
  if (named && (filled.name ?? null) === null) {
    const olds = req.olds.values;
    const old = strings(olds, DEFAULTS)?.includes("name") === true ? str(olds, "name") : undefined;
    // As the bridge does: the resource's name, a dash, 7 random hex digits.
    filled.name = old ?? `${ctx.name}-${randomBytes(4).toString("hex").slice(0, 7)}`;
    more.push("name");
  }
  return { inputs: withDefaults(fields, given, filled, more), failures };
}

function fillDefaults(fields: Fields, given: Props): Props {
  const out: Props = {};
  for (const [key, field] of Object.entries(fields)) {
    if (field.output === true) continue;
    const value = given[key] ?? null;
    if (value !== null) out[key] = fill(field, value);
    else if (field.default !== undefined) out[key] = field.default;
  }
  return out;
}

function fill(field: Field, value: Value): Value {
  if (Array.isArray(value)) {
    const items = field.items;
    return items === undefined ? value : value.map((item) => fill(items, item));
  }
  if (field.type === "object" && typeof value === "object" && value !== null) {
    return fillDefaults(field.properties ?? {}, value);
  }
  return value;
}

function checkPatterns(fields: Fields, given: Props, at: string, failures: CheckFailure[]): void {
  for (const [key, field] of Object.entries(fields)) {
    const value = given[key] ?? null;
    if (value !== null) checkPattern(field, value, at === "" ? key : `${at}.${key}`, failures);
  }
}

function checkPattern(field: Field, value: Value, path: string, failures: CheckFailure[]): void {
  if (isUnknown(value)) return;
  if (Array.isArray(value)) {
    const items = field.items;
    if (items !== undefined)
      for (const [i, item] of value.entries()) checkPattern(items, item, `${path}[${i}]`, failures);
  } else if (field.type === "object" && typeof value === "object" && value !== null) {
    checkPatterns(field.properties ?? {}, value, path, failures);
  } else if (typeof value === "string" && field.pattern !== undefined && !field.pattern.test(value)) {
    if (value === "" && field.required !== true) return;
    failures.push({
      property: path,
      reason: `does not have the form that it needs: ${field.pattern.source}`,
    });
  }
}

/**
 * When a replace deletes first: `always`, `never`, or where the name was `given`, for two objects cannot have one
 * name (the bridge's rule for what it can make up a name for).
 */
export type DeleteFirst = "always" | "given" | "never";

/** @param adjust changes a change, or drops it (undefined). */
export function diffResource(
  fields: Fields,
  req: DiffRequest,
  deleteFirst: DeleteFirst,
  adjust: (change: PropertyChange) => PropertyChange | undefined = (change) => change,
): DiffResult {
  const olds = plainProps(req.olds.values);
  const said = plainProps(req.oldInputs.values);
  const changes = diffFields(fields, olds, req.news.values, req.ignoreChanges, said)
    .map(adjust)
    .filter((change) => change !== undefined);
  const replaces = changes.some((change) => change.replace);
  const given = strings(req.news.values, DEFAULTS)?.includes("name") !== true;
  const first = deleteFirst === "always" || (deleteFirst === "given" && given);
  return { changes, deleteBeforeReplace: replaces && first };
}

/**
 * Outputs in a preview: the new inputs, what the state has that will not change, and unknown for what is
 * filled in later.
 */
export function previewState(fields: Fields, news: Props, olds: Props = {}): Props {
  const out: Props = {};
  for (const [key, field] of Object.entries(fields)) {
    const [value, old] = [news[key] ?? null, olds[key] ?? null];
    if (value !== null)
      out[key] = old !== null && sameValue(field, old, value) ? old : openEnds(field, value);
    else if (old !== null && (field.output === true || field.computed === true)) out[key] = old;
    else if (field.output === true || field.computed === true) out[key] = UNKNOWN;
  }
  return plainProps(out);
}

/** Parts that are filled in later (a port's `external`) are unknown. */
function openEnds(field: Field, value: Value): Value {
  const properties = field.items?.properties;
  if (properties === undefined || !Array.isArray(value)) return value;
  const computed = Object.keys(properties).filter((key) => properties[key]?.computed === true);
  return value.map((item) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return item;
    const missing = computed.filter((key) => (item[key] ?? null) === null);
    return { ...item, ...Object.fromEntries(missing.map((key) => [key, UNKNOWN])) };
  });
}

/**
 * Inputs after a read: those in state, with whatever was read otherwise, so that the next preview shows the
 * drift.
 */
export function driftedInputs(fields: Fields, inputs: Props, state: Props): Props {
  const out: Props = {};
  for (const [key, value] of Object.entries(inputs)) {
    const field = fields[key];
    if (key.startsWith("__") || field === undefined || value === null) {
      out[key] = value;
      continue;
    }
    const now = named(field, state[key] ?? null, value);
    if (sameValue(field, now, value)) out[key] = value;
    else if (now !== null) out[key] = now;
  }
  return out;
}

/**
 * What a read answers: the inputs of one that is imported come from what was read, all others show the drift.
 *
 * @param found undefined: the thing is gone.
 */
export function readResult(
  fields: Fields,
  { props, inputs }: ReadRequest,
  found: { id: string; outs: Props } | undefined,
): ReadResult {
  if (found === undefined) return { id: "", outs: {} };
  const imported = Object.keys(plainProps(props.values)).length === 0;
  return {
    ...found,
    inputs: imported ? importInputsOf(fields, found.outs) : driftedInputs(fields, inputs.values, found.outs),
    secrets: secretTops(props.secrets, inputs.secrets),
  };
}

/**
 * What was read, less each difference of spelling and order from what was known: then a refresh finds nothing, and secret
 * places stay where they are.
 */
export function asKnown(fields: Fields, state: Props, known: Props): Props {
  const out = { ...state };
  for (const [key, value] of Object.entries(plainProps(known))) {
    const field = fields[key];
    if (field !== undefined && field.output !== true && sameValue(field, out[key] ?? null, value))
      out[key] = value;
  }
  return out;
}

/**
 * Top-level outputs that hold a secret input somewhere: marked whole, for lists may come back in another order.
 */
export function secretTops(...bags: readonly (readonly Path[])[]): Path[] {
  const tops = new Set(bags.flat().map((path) => String(path[0])));
  return [...tops].map((top) => [top]);
}
