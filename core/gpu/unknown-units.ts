/** What is written down of units that a container was found with. */
import { gpuUses } from "./gpu-use";
import type { Ask, Grant, GrantedUnit, Inventory } from "./model";
import type { Occupancy } from "./occupancy";

/** The name of a unit that the node did not have when its container was found. */
const unnamed = "?";

/** @param shareMiB what the container has of a GPU, where it has a share */
export function foundUnit(occupancy: Occupancy, uuid: string, shareMiB?: number): GrantedUnit {
  const unit = occupancy.unit(uuid);
  if (unit) return sized(unit, shareMiB);
  // Kept as it is, so that its holder is seen.
  const nothing = { uuid, gpu: uuid, name: unnamed, model: "unknown" };
  return { ...nothing, memoryMiB: shareMiB ?? 0, shared: shareMiB !== undefined };
}

function sized(unit: GrantedUnit, shareMiB?: number): GrantedUnit {
  const share = unit.uuid === unit.gpu && shareMiB !== undefined;
  return share ? { ...unit, shared: true, memoryMiB: shareMiB } : { ...unit };
}

export function foundAsk(units: readonly GrantedUnit[]): Ask {
  const [unit] = units;
  const kind: Ask["kind"] = unit?.shared ? "share" : unit && unit.uuid !== unit.gpu ? "mig" : "gpu";
  return { kind, count: units.length, ...(kind === "share" ? { memoryMiB: unit?.memoryMiB } : {}) };
}

/** Every GPU and instance by UUID, with the name that people see. A GPU in MIG mode is there too, though never granted. */
export function unitsNamed(inventory: Inventory): Map<string, GrantedUnit> {
  return new Map(
    gpuUses(inventory)
      .flatMap((use) => [use.whole, ...use.instances])
      .map((unit) => [unit.uuid, unit]),
  );
}

/** Grants with units that nobody knew when their containers were found, and that the node has now: what they are. */
export function recognized(grants: Iterable<Grant>, inventory: Inventory): Grant[] {
  const strangers = [...grants].filter(({ units }) => units.some(({ name }) => name === unnamed));
  if (strangers.length === 0) return [];
  const named = unitsNamed(inventory);
  return strangers.flatMap((grant): Grant[] => {
    const units = grant.units.map((unit) => {
      const now = unit.name === unnamed ? named.get(unit.uuid) : undefined;
      return now ? sized(now, unit.shared ? unit.memoryMiB : undefined) : unit;
    });
    const changed = units.some((unit, at) => unit !== grant.units[at]);
    return changed ? [{ ...grant, units, ask: foundAsk(units) }] : [];
  });
}
