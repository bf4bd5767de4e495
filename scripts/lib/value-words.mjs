/**
 * @file Differences of plain values, in words: `memory: 3072 → 4096`, `users.bob goes`. Pure.
 */
import { cut } from "./format.mjs";

/** What the engine writes in place of a secret: its signature, as an object's key (Pulumi's wire format). */
const SECRET_KEY = "4dabf18193072939515e22adb298388d";
/** What stands for a value that is not known yet (Pulumi's wire format). */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
/** Characters of a text that are shown. */
const SHOWN_WIDTH = 60;

/** @param {unknown} value */
export function isSecret(value) {
  return value === "[secret]" || (isObject(value) && SECRET_KEY in value);
}

/** @param {unknown} value */
export const isUnknown = (value) => value === UNKNOWN;

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A list whose entries have names, or are `key`, `value` pairs, by them; else undefined.
 * @param {unknown} value
 * @returns {Record<string, unknown> | undefined}
 */
function byName(value) {
  if (isObject(value)) return value;
  if (!Array.isArray(value)) return undefined;
  /** @type {Record<string, unknown>} */
  const found = {};
  for (const entry of value) {
    const name = isObject(entry) ? (entry.name ?? entry.label ?? entry.key) : undefined;
    if (typeof name !== "string" || name in found) return undefined;
    found[name] = entry;
  }
  return found;
}

/**
 * @param {unknown} value
 * @returns {string} as one word or a few; "" for what would take more
 */
export function shown(value) {
  if (isSecret(value)) return "(secret)";
  if (isUnknown(value)) return "(not known yet)";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string" || value.includes("\n")) return "";
  return cut(value, SHOWN_WIDTH) || '""';
}

/**
 * @param {unknown} before
 * @param {unknown} after
 * @param {string} [path]
 * @returns {string[]} a line for each value that differs
 */
export function valueChanges(before, after, path = "") {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const name = path || "it";
  if (isSecret(before) || isSecret(after)) return [`${name} (secret)`];
  if (before === undefined) return [[`${name} comes`, shown(after)].filter(Boolean).join(": ")];
  if (after === undefined) return [`${name} goes`];
  const [old, now] = [byName(before), byName(after)];
  if (old && now) {
    const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])];
    return keys.flatMap((key) => valueChanges(old[key], now[key], path ? `${path}.${key}` : key));
  }
  if (Array.isArray(before) && Array.isArray(after)) return listChanges(before, after, name);
  const [from, to] = [shown(before), shown(after)];
  return [from && to ? `${name}: ${from} → ${to}` : name];
}

/**
 * @param {unknown[]} before
 * @param {unknown[]} after
 * @param {string} name
 */
function listChanges(before, after, name) {
  const texts = (/** @type {unknown[]} */ list) => list.map((entry) => JSON.stringify(entry));
  const [old, now] = [new Set(texts(before)), new Set(texts(after))];
  const lines = [
    ...before.filter((entry) => !now.has(JSON.stringify(entry))).map((entry) => ["goes", shown(entry)]),
    ...after.filter((entry) => !old.has(JSON.stringify(entry))).map((entry) => ["comes", shown(entry)]),
  ];
  if (lines.length === 0 || lines.some(([, text]) => !text)) return [name];
  return lines.map(([verb, text]) => `${name}: ${text} ${verb}`);
}
