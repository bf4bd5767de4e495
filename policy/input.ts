import { Secret } from "@pulumi/policy";
import { Hidden, UNKNOWN, type Value } from "./rules";

/**
 * What the SDK wraps inputs in: proxies that throw at an unknown value. The rules decide themselves what an unknown value
 * means, so they get what is behind it. The names are those of @pulumi/policy 1.21 (proxy.js), which does not export them.
 */
const IS_PROXY = "__isSpecialProxy";
const TARGET = "__getSpecialProxyTarget";

/** What the engine sends in place of a value that only an update will know, one for each type (@pulumi/policy, proxy.js). */
const UNKNOWNS = new Set([
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

function behind(value: unknown): unknown {
  let at = value;
  while (at !== null && typeof at === "object" && (at as Record<string, unknown>)[IS_PROXY] === true)
    at = (at as Record<string, unknown>)[TARGET];
  return at;
}

function readValue(wrapped: unknown): Value {
  const value = behind(wrapped);
  if (value instanceof Secret) return new Hidden(readValue(value.value));
  if (typeof value === "string") return UNKNOWNS.has(value) ? UNKNOWN : value;
  if (typeof value === "boolean" || typeof value === "number") return value;
  if (Array.isArray(value)) return value.map(readValue);
  if (value === null || typeof value !== "object") return null;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, readValue(item)]));
}

/** A resource's inputs as the rules take them: unknown and secret values marked as such, all else plain. */
export function read(props: Record<string, unknown>): Record<string, Value> {
  const value = behind(props) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, readValue(item)]));
}
