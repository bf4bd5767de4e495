/**
 * `__defaults`: which inputs came from the plugin and not from the program. The Pulumi-Terraform bridge keeps such a
 * list in every object of a resource's inputs, and reads it back; so do we, so that a state passes both ways. Pure.
 */
import type { Props, Value } from "../types";
import { isProps } from "../values";
import type { Field, Fields } from "./field";

export const DEFAULTS = "__defaults";

/**
 * @param given the program's inputs, before defaults.
 * @param filled the same with defaults.
 * @param more top-level keys that the plugin filled in otherwise (a made-up name).
 */
export function withDefaults(
  fields: Fields,
  given: Props,
  filled: Props,
  more: readonly string[] = [],
): Props {
  const out: Props = { [DEFAULTS]: [] };
  const names: string[] = [...more];
  for (const [key, value] of Object.entries(filled)) {
    if (key.startsWith("__")) continue;
    const before = Object.hasOwn(given, key) ? (given[key] ?? null) : null;
    if (before === null && !names.includes(key)) names.push(key);
    const field = fields[key];
    out[key] = field === undefined ? value : mark(field, before, value);
  }
  out[DEFAULTS] = names.sort();
  return out;
}

function mark(field: Field, given: Value, filled: Value): Value {
  if (Array.isArray(filled)) {
    const items = field.items;
    if (items === undefined) return filled;
    return filled.map((item, i) => mark(items, Array.isArray(given) ? (given[i] ?? null) : null, item));
  }
  if (field.type === "object" && isProps(filled)) {
    return withDefaults(field.properties ?? {}, isProps(given) ? given : {}, filled);
  }
  return filled;
}

/** A value without the bridge's own keys (`__defaults`, `__meta`…), at any depth. */
export function plain(value: Value): Value {
  if (Array.isArray(value)) return value.map(plain);
  if (!isProps(value)) return value;
  return plainProps(value);
}

export function plainProps(bag: Props): Props {
  const out: Props = {};
  for (const [key, value] of Object.entries(bag)) {
    if (!key.startsWith("__") && value !== null) out[key] = plain(value);
  }
  return out;
}
