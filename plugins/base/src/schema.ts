/** The inputs of a resource or a provider: what is allowed, what is filled in, what is wrong. Pure. */
import type { CheckFailure, Property, Props, Schema, Value } from "./types";
import { hasUnknown, isProps, isUnknown } from "./values";

const AT_MOST = 200;

/**
 * Checks inputs against a schema, all faults at once, and fills in defaults.
 *
 * @param type the token named in messages, `command:remote:Command`.
 * @returns the inputs with defaults, and one failure per fault, each naming path, what is allowed and how
 * to mend it. Unknown values pass. Values of failing properties are never quoted if the property is secret.
 */
export function checkInputs(
  type: string,
  schema: Schema,
  inputs: Props,
): { inputs: Props; failures: CheckFailure[] } {
  const failures: CheckFailure[] = [];
  const out = checkObject(type, schema, inputs, "", failures);
  return { inputs: out, failures };
}

function checkObject(
  type: string,
  schema: Schema,
  given: Props,
  at: string,
  failures: CheckFailure[],
): Props {
  const out: Props = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === null || key.startsWith("__")) continue; // null is absent; `__defaults`, `__internal` are the engine's
    const path = at === "" ? key : `${at}.${key}`;
    const property = Object.hasOwn(schema, key) ? schema[key] : undefined;
    if (property === undefined) {
      failures.push({ property: path, reason: unknownProperty(type, schema, key, at) });
      continue;
    }
    out[key] = checkValue(type, property, value, path, failures);
  }
  for (const [key, property] of Object.entries(schema)) {
    if (Object.hasOwn(out, key) || (given[key] ?? null) !== null) continue;
    const path = at === "" ? key : `${at}.${key}`;
    if (property.default !== undefined) out[key] = property.default;
    else if (property.required === true) {
      failures.push({ property: path, reason: `is missing; give it as ${describe(property)}` });
    }
  }
  return out;
}

function checkValue(
  type: string,
  property: Property,
  value: Value,
  path: string,
  failures: CheckFailure[],
): Value {
  if (isUnknown(value)) return value;
  if (property.unsupported !== undefined) {
    if (!isEmpty(value))
      failures.push({ property: path, reason: `is not supported here: ${property.unsupported}` });
    return value;
  }
  const bad = (): Value => {
    failures.push({ property: path, reason: `is ${kindOf(value)}; give it as ${describe(property)}` });
    return value;
  };
  switch (property.type) {
    case "any":
      return value;
    case "string":
      if (typeof value !== "string") return bad();
      break;
    case "boolean":
      if (typeof value !== "boolean") return bad();
      break;
    case "number":
    case "integer":
      if (typeof value !== "number" || !Number.isFinite(value)) return bad();
      if (property.type === "integer" && !Number.isInteger(value)) return bad();
      if (value < (property.min ?? -Infinity) || value > (property.max ?? Infinity)) {
        failures.push({ property: path, reason: `is out of range; give it as ${describe(property)}` });
      }
      break;
    case "array": {
      if (!Array.isArray(value)) return bad();
      const items = property.items;
      if (items === undefined) return value;
      return value.map((item, index) =>
        item === null ? item : checkValue(type, items, item, `${path}[${index}]`, failures),
      );
    }
    case "map": {
      if (!isProps(value)) return bad();
      const items = property.items;
      if (items === undefined) return value;
      const out: Props = {};
      for (const [key, item] of Object.entries(value)) {
        if (item !== null) out[key] = checkValue(type, items, item, `${path}.${key}`, failures);
      }
      return out;
    }
    case "object":
      if (!isProps(value)) return bad();
      return checkObject(type, property.properties ?? {}, value, path, failures);
  }
  if (property.enum !== undefined && !property.enum.includes(value)) {
    failures.push({
      property: path,
      reason: `is not one of ${property.enum.map((v) => `"${v}"`).join(", ")}`,
    });
  }
  return value;
}

function unknownProperty(type: string, schema: Schema, key: string, at: string): string {
  const allowed = Object.entries(schema)
    .filter(([, property]) => property.unsupported === undefined)
    .map(([name]) => name)
    .sort();
  const near = allowed.find((name) => name.toLowerCase() === key.toLowerCase());
  const where = at === "" ? type : `${at} of ${type}`;
  const list = allowed.length === 0 ? "nothing" : allowed.slice(0, AT_MOST).join(", ");
  return `is not known to ${where}${near === undefined ? "" : ` (did you mean "${near}"?)`}; allowed: ${list}; what the official plugin takes beside these needs that plugin, see docs/plugins.md`;
}

/** Says in words what a property takes. */
function describe(property: Property): string {
  const range =
    property.min === undefined && property.max === undefined
      ? ""
      : ` from ${property.min ?? "any"} to ${property.max ?? "any"}`;
  if (property.enum !== undefined) return `one of ${property.enum.map((v) => `"${v}"`).join(", ")}`;
  switch (property.type) {
    case "integer":
      return `a whole number${range}`;
    case "number":
      return `a number${range}`;
    case "array":
      return property.items === undefined ? "a list" : `a list, each ${describe(property.items)}`;
    case "map":
      return property.items === undefined ? "a map" : `a map to values, each ${describe(property.items)}`;
    case "object":
      return `an object of ${Object.keys(property.properties ?? {}).join(", ")}`;
    case "any":
      return "any value";
    default:
      return `a ${property.type}`;
  }
}

function kindOf(value: Value): string {
  if (Array.isArray(value)) return "a list";
  if (value === null) return "null";
  if (typeof value === "object") return "an object";
  return typeof value === "number" ? `a number` : `a ${typeof value}`;
}

function isEmpty(value: Value): boolean {
  if (hasUnknown(value)) return false;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
