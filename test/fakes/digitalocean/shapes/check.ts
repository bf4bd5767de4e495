/** Compares a JSON value with a shape and says every difference with its path. */
import { gaps } from "./gaps";
import type { FieldType, Shape } from "./probe";
import { required } from "./required";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const isoDate = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?$/;
const isPrimitive = (value: unknown) => ["string", "number", "boolean"].includes(typeof value);
const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

function fits(type: FieldType, value: unknown): boolean {
  switch (type.kind) {
    case "string":
    case "number":
    case "boolean":
      return typeof value === type.kind;
    case "date":
      return typeof value === "string" && isoDate.test(value);
    case "uuid":
      return typeof value === "string" && uuid.test(value);
    case "enum":
      return type.values?.includes(value) ?? false;
    case "primitives":
      return Array.isArray(value) && value.every(isPrimitive);
    case "object":
      return isObject(value);
    case "objects":
      return Array.isArray(value) && value.every(isObject);
    case "any":
      return true;
  }
}

/** Long or secret values never go into a report: only what sort of value it was. */
function sort(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

const expected = (types: readonly FieldType[]) =>
  types.map(({ kind, values }) => (values ? `one of ${values.join(", ")}` : kind)).join(" or ");

function checkObject(shapes: readonly Shape[], value: object, path: string, problems: string[]): void {
  const names = [...new Set(shapes.map(({ name }) => name))].join(" or ");
  for (const [key, field] of Object.entries(value)) {
    const types = shapes.flatMap((shape) => shape.fields.get(key) ?? []);
    if (types.length === 0 && shapes.some(({ name }) => gaps[name]?.includes(key))) continue;
    if (types.length === 0) {
      const known = [...new Set(shapes.flatMap((shape) => [...shape.fields.keys()]))].sort();
      problems.push(`${path}.${key}: ${names} has no such property; it has ${known.join(", ") || "none"}`);
      continue;
    }
    // The client's code does not say which properties may be null, so null fits everywhere.
    if (field === null) continue;
    const fitting = types.filter((type) => fits(type, field));
    if (fitting.length === 0) {
      problems.push(`${path}.${key}: ${sort(field)}, where ${names} has ${expected(types)}`);
      continue;
    }
    const nested = fitting.filter(({ shape }) => shape !== undefined);
    const inside = (item: unknown, at: string) =>
      checkObject(
        nested.map(({ shape }) => (shape as (v: unknown) => Shape)(item)),
        item as object,
        at,
        problems,
      );
    if (nested.length === 0) continue;
    if (Array.isArray(field))
      field.forEach((item, index) => {
        inside(item, `${path}.${key}[${index}]`);
      });
    else inside(field, `${path}.${key}`);
  }
}

/** Differences between `value` and `shape`, each as `path: what is wrong`; empty when it fits. */
export function differences(shape: Shape, value: unknown, path: string): string[] {
  if (!isObject(value)) return [`${path}: ${sort(value)}, where ${shape.name} is an object`];
  const problems: string[] = [];
  checkObject([shape], value as object, path, problems);
  return problems;
}

/** Required properties that `value`, a response, lacks, at any depth. */
export function missing(shape: Shape, value: unknown, path: string): string[] {
  if (!isObject(value)) return [];
  const source = value as Record<string, unknown>;
  const problems = (required[shape.name] ?? [])
    .filter((key) => !(key in source))
    .map((key) => `${path}.${key}: missing, ${shape.name} requires it`);
  for (const [key, field] of Object.entries(source)) {
    const nested = shape.fields.get(key)?.find((type) => type.shape !== undefined)?.shape;
    if (nested === undefined || field === null) continue;
    const items = Array.isArray(field) ? field : [field];
    items.forEach((item, index) => {
      const at = Array.isArray(field) ? `${path}.${key}[${index}]` : `${path}.${key}`;
      problems.push(...missing(nested(item), item, at));
    });
  }
  return problems;
}
