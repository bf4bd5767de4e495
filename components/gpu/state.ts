import type { Assignment, GrantedUnit } from "../../core/gpu";
import { given, type Props } from "./inputs";

/** How the properties of a GpuPool are read back: those of its state may be an older version's. Pure. */

/**
 * Who has what; undefined where the properties do not say it, or not yet. A state that was written before `assignment`
 * existed has the lines of `grants` alone. A key whose units cannot be read is left out: it is decided anew.
 */
export function assignmentOf(props: Props): Assignment | undefined {
  const kept: unknown = given(props, "assignment") ?? linesRead(given(props, "grants"));
  if (typeof kept !== "object" || kept === null) return undefined;
  return Object.fromEntries(Object.entries(kept).filter(isReadable));
}

function isReadable(entry: [string, unknown]): entry is [string, GrantedUnit[]] {
  const [, units] = entry;
  const isUnit = (unit: Partial<GrantedUnit> | null | undefined) =>
    typeof unit?.uuid === "string" && typeof unit.gpu === "string";
  return Array.isArray(units) && units.every(isUnit);
}

/** A slash is in the UUIDs of old drivers' instances: `MIG-GPU-…/7/0`. */
const LINE =
  /^(\d+(?::\d+)?)(?: ([^ ,]+))?, (?:(\d+) MiB|memory unknown): ([A-Za-z0-9/-]+)(?: on ([A-Za-z0-9-]+))? \((.*)\)$/s;

/** The units in the lines of an older version's state. */
function linesRead(grants: unknown): Record<string, unknown> | undefined {
  if (typeof grants !== "object" || grants === null) return undefined;
  return Object.fromEntries(
    Object.entries(grants).map(([key, lines]) => [key, Array.isArray(lines) ? lines.map(lineRead) : lines]),
  );
}

function lineRead(line: unknown): GrantedUnit | undefined {
  const [, name, kind, memory, uuid, on, model] = LINE.exec(String(line)) ?? [];
  if (name === undefined || uuid === undefined || model === undefined) return undefined;
  const shared = kind === "shared";
  return {
    uuid,
    gpu: on ?? uuid,
    name,
    model,
    memoryMiB: Number(memory ?? 0),
    ...(kind !== undefined && !shared ? { profile: kind } : {}),
    shared,
  };
}
