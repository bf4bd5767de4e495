import { nearest } from "../core/limits";
import { type Issue, pathText, valueAt } from "../core/problems";
import { HIDDEN, type Problem } from "./problems";
import { nodeKinds, stackKeys, stackSchema } from "./schema";
import { boundsAt, isRecord, keysAt, kindsWith } from "./schema-walk";

/** What is wrong with a configuration's shape, in words for those who wrote it; none are the schema library's. Pure. */

/** Values under these keys are secrets: an error says that they are wrong, never what they are. */
const secretKeys = ["password", "credentials"];

/** An issue of the schema, as far as it is read here. */
export interface ShapeIssue extends Issue {
  params?: { allowed?: string };
  values?: unknown[];
  expected?: string;
  origin?: string;
  discriminator?: string;
}

/** True where a secret stands at a path such as `users[0].password`. */
export const holdsSecret = (path: string) => secretKeys.some((key) => path.includes(key));

/**
 * The values less every key that nothing stands behind: such a key reads as `null`, most often since its entries are
 * commented out, and says as much as one that is left out. Kept are an entry of a list, and a name that people choose
 * (of a variable), for there something was meant; and all of `limits`, where `null` says "no limit".
 */
export function withoutEmpty(values: Record<string, unknown>): Record<string, unknown> {
  const walk = (value: unknown, path: PropertyKey[]): unknown => {
    if (Array.isArray(value)) return value.map((item, i) => walk(item, [...path, i]));
    if (typeof value !== "object" || value === null || path[0] === "limits") return value;
    const names = isRecord(stackSchema, path, values);
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => names || (item !== null && item !== undefined))
        .map(([key, item]) => [key, walk(item, [...path, key])]),
    );
  };
  return walk(values, []) as Record<string, unknown>;
}

/** One issue of the schema as problems: an unknown key is one each. */
export function shapeProblems(issue: ShapeIssue, values: unknown): Problem[] {
  const { code, path, keys = [] } = issue;
  if (code === "unrecognized_keys") return keys.map((key) => unknownKey(path, key, values));
  const found = valueAt(values, path);
  const hidden = path.some((part) => secretKeys.includes(String(part)));
  const at = { path: `berth:${pathText(path)}`, value: hidden ? HIDDEN : found };
  const told = tell(issue, found, values);
  return [{ ...at, problem: found === undefined ? "is missing" : told.problem, allowed: told.allowed }];
}

/** Keys that have another name by now, by where they stood. */
const RENAMED: Readonly<Record<string, string>> = { "ports.pool": "ports.containers" };

/** A key that nothing knows. Its value may be a secret under a mistyped name, so only a plain one is shown. */
function unknownKey(path: readonly PropertyKey[], key: string, values: unknown): Problem {
  const known = path.length === 0 ? stackKeys : keysAt(stackSchema, path, values);
  const near = nearest(key, known);
  const found = valueAt(values, [...path, key]);
  const plain = near !== undefined && !holdsSecret(near) && typeof found !== "object";
  const elsewhere = kindsWith(stackSchema, path, values, key);
  const renamed = RENAMED[pathText([...path, key])];
  const names = known.map((name) => (path.length === 0 ? `berth:${name}` : name)).join(", ");
  const meant = near === undefined ? "" : `; did you mean ${path.length === 0 ? `berth:${near}` : near}?`;
  return {
    path: `berth:${pathText([...path, key])}`,
    value: plain ? found : HIDDEN,
    problem:
      elsewhere.length > 0
        ? `is a key of ${elsewhere.join(" and ")}, not of this kind`
        : renamed !== undefined
          ? `is called ${renamed} now`
          : `is an unknown key${meant}`,
    allowed: names,
  };
}

/** What the schema's kinds of values are called here. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number, without quotes",
  int: "a whole number, without quotes",
  boolean: "true or false, without quotes",
  array: 'a list: entries that begin with "- "',
  object: "keys with values",
  record: "names with values",
};

const NOUN: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  boolean: "true or false",
  object: "keys with values",
};

const nounOf = (value: unknown) =>
  value === null ? "nothing" : Array.isArray(value) ? "a list" : (NOUN[typeof value] ?? typeof value);

function tell(issue: ShapeIssue, found: unknown, values: unknown): { problem: string; allowed: string } {
  const { code, path, message, params, values: options, expected = "", origin = "", discriminator } = issue;
  if (params?.allowed !== undefined) return { problem: message, allowed: params.allowed };
  const kind = path.at(-1) === "kind";
  if (code === "invalid_union" && discriminator !== undefined)
    return kind
      ? { problem: "is no kind of node", allowed: list(nodeKinds) }
      : {
          problem: "is none of the values that decide what stands beside it",
          allowed: list(issue.values ?? [true, false]),
        };
  // The schema writes its own sentence for what may have more than one form.
  if (code === "invalid_union") return { problem: "has another shape", allowed: message };
  if (options !== undefined)
    return { problem: "is none of the values that it may have", allowed: list(options) };
  if (code === "invalid_type") {
    const quotes = expected === "string" && typeof found === "number" ? `, in quotes: "${found}"` : "";
    const whole = expected === "int" && typeof found === "number";
    return {
      problem: whole ? "is no whole number" : `is ${nounOf(found)}, where something else belongs`,
      allowed: `${EXPECTED[expected] ?? expected}${quotes}`,
    };
  }
  // Schemas of core say in one sentence what is wrong and, behind a colon, what is allowed.
  const [, wrong, right] = /^(.+?): (.+)$/s.exec(message) ?? [];
  if ((code === "custom" || code === "invalid_format") && wrong !== undefined && right !== undefined)
    return { problem: wrong, allowed: right };
  if (code !== "too_small" && code !== "too_big") return { problem: "has another shape", allowed: message };
  const small = code === "too_small";
  const range = rangeText(boundsAt(stackSchema, path, values), origin);
  if (origin === "string")
    return { problem: found === "" ? "is empty" : small ? "is too short" : "is too long", allowed: range };
  if (origin === "array")
    return { problem: small ? "has too few entries" : "has too many entries", allowed: range };
  return { problem: small ? "is too small" : "is too large", allowed: range };
}

const list = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).join(", ");

function rangeText({ least, most }: { least?: number; most?: number }, origin: string): string {
  const what = origin === "string" ? " characters" : origin === "array" ? " entries or more" : "";
  if (origin === "array") return `${least ?? most} ${least === 1 ? "entry or more" : what.trim()}`;
  if (least !== undefined && most !== undefined) return `from ${least} to ${most}${what}`;
  return least !== undefined ? `at least ${least}${what}` : `at most ${most}${what}`;
}
