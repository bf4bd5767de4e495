/** What changed between two property bags, and whether it asks for a replace. Pure. */
import type { DiffKind, DiffRequest, Path, Property, PropertyChange, Props, Schema, Value } from "./types";
import { formatPath, isProps, isUnknown, SIGNATURE } from "./values";

/**
 * Compares the inputs in state with the new ones, property by property, down to the smallest difference.
 * `null`, absent, and the engine's own `__…` keys do not count; nor does being secret. An unknown new
 * value is a change, for it may be one. Properties in `ignoreChanges` are left out.
 */
export function diffInputs(
  schema: Schema,
  req: Pick<DiffRequest, "oldInputs" | "news" | "ignoreChanges">,
): PropertyChange[] {
  const changes: PropertyChange[] = [];
  const olds = req.oldInputs.values;
  const news = req.news.values;
  for (const key of Object.keys(schema)) {
    const property = schema[key] as Property;
    const of = (bag: Props): Value => (Object.hasOwn(bag, key) ? (bag[key] as Value) : null);
    const found: { path: Path; kind: DiffKind }[] = [];
    compare(of(olds), of(news), [key], property, found);
    for (const change of found) {
      if (ignored(change.path, req.ignoreChanges)) continue;
      changes.push({ ...change, replace: replaces(schema, change.path) });
    }
  }
  return changes;
}

function compare(
  old: Value,
  next: Value,
  path: Path,
  property: Property | undefined,
  found: { path: Path; kind: DiffKind }[],
): void {
  if (isUnknown(next)) {
    found.push({ path, kind: old === null ? "add" : "update" });
    return;
  }
  if (old === null && next === null) return;
  if (old === null) found.push({ path, kind: "add" });
  else if (next === null) found.push({ path, kind: "delete" });
  else if (Array.isArray(old) && Array.isArray(next)) compareArrays(old, next, path, property, found);
  else if (isProps(old) && isProps(next)) {
    if (SIGNATURE in old || SIGNATURE in next) {
      // Assets, such as those among `triggers`: the content's hash says it all; their path may be another on each machine.
      if (old.hash !== next.hash || old[SIGNATURE] !== next[SIGNATURE]) found.push({ path, kind: "update" });
      return;
    }
    for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
      if (key.startsWith("__")) continue;
      const inner = property?.type === "object" ? property.properties?.[key] : property?.items;
      compare(old[key] ?? null, next[key] ?? null, [...path, key], inner, found);
    }
  } else if (old !== next) found.push({ path, kind: "update" });
}

function compareArrays(
  old: Value[],
  next: Value[],
  path: Path,
  property: Property | undefined,
  found: { path: Path; kind: DiffKind }[],
): void {
  for (let i = 0; i < Math.max(old.length, next.length); i++) {
    const at = [...path, i];
    if (i >= old.length) found.push({ path: at, kind: "add" });
    else if (i >= next.length) found.push({ path: at, kind: "delete" });
    else compare(old[i] as Value, next[i] as Value, at, property?.items, found);
  }
}

/** True if the property, or one it lies in, is marked `replace`. */
function replaces(schema: Schema, path: Path): boolean {
  let property: Property | undefined = schema[path[0] as string];
  for (let i = 0; property !== undefined; i++) {
    if (property.replace === true) return true;
    const part = path[i + 1];
    if (part === undefined) return false;
    property = property.type === "object" ? property.properties?.[part] : property.items;
  }
  return false;
}

/** Whether a path is left out: entries are paths such as `ports`, `ports[0].ip`, `labels.x`, `ports[*].ip`. */
export function ignored(path: Path, ignoreChanges: readonly string[]): boolean {
  if (ignoreChanges.length === 0) return false;
  const prefixes = path.map((_, i) => path.slice(0, i + 1));
  return ignoreChanges.some(
    (pattern) =>
      pattern === "*" ||
      prefixes.some(
        (prefix) =>
          formatPath(prefix) === pattern || formatPath(prefix).replace(/\[\d+\]/g, "[*]") === pattern,
      ),
  );
}
