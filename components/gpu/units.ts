import { type Assignment, type GrantedUnit, type Inventory, memoryWords } from "../../core/gpu";

/**
 * A granted unit as one line, which a preview shows and from which the unit can be read again:
 * `0:1 1g.10gb, 9984 MiB: MIG-… on GPU-… (NVIDIA H100 80GB HBM3)`, `0, 81559 MiB: GPU-… (…)`,
 * `0 shared, 20480 MiB: GPU-… (…)`, and `memory unknown` where the driver does not say it. Pure.
 */

/** By key: a line for each unit. What a GpuPool's `grants` holds. */
export type Grants = Record<string, string[]>;

/** A slash is in the UUIDs of old drivers' instances: `MIG-GPU-…/7/0`. */
const LINE =
  /^(\d+(?::\d+)?)(?: ([^ ,]+))?, (?:(\d+) MiB|memory unknown): ([A-Za-z0-9/-]+)(?: on ([A-Za-z0-9-]+))? \((.*)\)$/s;

export function unitLine(unit: GrantedUnit): string {
  const kind = unit.profile ?? (unit.shared ? "shared" : undefined);
  const where = unit.uuid === unit.gpu ? unit.uuid : `${unit.uuid} on ${unit.gpu}`;
  return `${unit.name}${kind === undefined ? "" : ` ${kind}`}, ${memoryWords(unit.memoryMiB)}: ${where} (${unit.model})`;
}

/** Undefined where the line is none of {@link unitLine}'s. */
export function readUnitLine(line: string): GrantedUnit | undefined {
  const [, name, kind, memory, uuid, on, model] = LINE.exec(line) ?? [];
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

export function showAssignment(assignment: Assignment): Grants {
  return Object.fromEntries(
    Object.entries(assignment)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, units]) => [key, units.map(unitLine)]),
  );
}

/** Keys whose lines cannot be read (a state of another version's) are left out: they are decided anew. */
export function readGrants(grants: unknown): Assignment {
  const found: Assignment = {};
  if (typeof grants !== "object" || grants === null) return found;
  for (const [key, lines] of Object.entries(grants)) {
    const units = Array.isArray(lines) ? lines.map((line) => readUnitLine(String(line))) : [undefined];
    if (units.every((unit) => unit !== undefined)) found[key] = units;
  }
  return found;
}

/** What a node's own faults say of the GPUs that the stack declares: a declared GPU is as ill as the node says. */
export function withFaults(declared: Inventory, seen: Inventory | undefined): Inventory {
  const faults = new Map(seen?.gpus.map(({ uuid, quarantined }) => [uuid, quarantined]));
  return {
    ...declared,
    gpus: declared.gpus.map((gpu) => {
      const quarantined = faults.get(gpu.uuid);
      return quarantined === undefined ? gpu : { ...gpu, quarantined };
    }),
  };
}
