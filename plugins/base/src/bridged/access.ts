/** Typed reading of plain property bags; an absent value is undefined. Pure. */
import type { Props, Value } from "../types";
import { isProps } from "../values";

const at = (bag: Props, key: string): Value => (Object.hasOwn(bag, key) ? (bag[key] ?? null) : null);

export function str(bag: Props, key: string): string | undefined {
  const value = at(bag, key);
  return typeof value === "string" ? value : undefined;
}

/** As {@link str}, and an empty string is absent too. */
export function text(bag: Props, key: string): string | undefined {
  return str(bag, key) || undefined;
}

export function int(bag: Props, key: string): number | undefined {
  const value = at(bag, key);
  return typeof value === "number" ? value : undefined;
}

export function bool(bag: Props, key: string): boolean | undefined {
  const value = at(bag, key);
  return typeof value === "boolean" ? value : undefined;
}

export function strings(bag: Props, key: string): string[] | undefined {
  const value = at(bag, key);
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.filter((item): item is string => typeof item === "string");
}

export function objects(bag: Props, key: string): Props[] {
  const value = at(bag, key);
  if (!Array.isArray(value)) return [];
  return value.filter(isProps);
}

export function sub(bag: Props, key: string): Props | undefined {
  const value = at(bag, key);
  return isProps(value) ? value : undefined;
}

/** A map of strings; undefined if absent or empty. */
export function map(bag: Props, key: string): Record<string, string> | undefined {
  const entries = Object.entries(sub(bag, key) ?? {}).filter(
    (entry): entry is [string, string] => !entry[0].startsWith("__") && typeof entry[1] === "string",
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
