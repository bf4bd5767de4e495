import { freeOf, gpuUses, shareLeft, wholeFree } from "./gpu-use";
import type { Ask, GrantedUnit, Inventory, Result } from "./model";
import { Occupancy, type PlaceDefaults } from "./occupancy";

/** Anything that has units: a live grant. */
export interface Occupied {
  units: readonly GrantedUnit[];
}

/** What could be granted now, in the node's order. */
export interface FreeUnits {
  /** Whole GPUs. */
  gpus: GrantedUnit[];
  instances: GrantedUnit[];
  /** GPUs with room for shares, `memoryMiB` being what is left of each. They are also in `gpus` when nobody has any. */
  shares: GrantedUnit[];
}

/** @param allowShared whether the node grants shares; without, `shares` is empty. */
export function freeUnits(inventory: Inventory, live: readonly Occupied[], allowShared = false): FreeUnits {
  const { uses } = occupancyOf(inventory, live);
  return {
    gpus: uses.filter(wholeFree).map(({ whole }) => ({ ...whole })),
    instances: uses.flatMap(freeOf).map((unit) => ({ ...unit })),
    shares: allowShared
      ? uses
          .filter((use) => shareLeft(use) > 0)
          .map((use) => ({ ...use.whole, memoryMiB: shareLeft(use), shared: true }))
      : [],
  };
}

/** Finds units for one ask; see `Occupancy.place`, which is the one to use for many. */
export function place(
  inventory: Inventory,
  live: readonly Occupied[],
  ask: Ask,
  defaults: PlaceDefaults = {},
): Result<GrantedUnit[]> {
  return occupancyOf(inventory, live).place(ask, defaults);
}

/** Every GPU and instance by UUID, with the name that people see. A GPU in MIG mode is there too, though never granted. */
export function unitsNamed(inventory: Inventory): Map<string, GrantedUnit> {
  return new Map(
    gpuUses(inventory)
      .flatMap((use) => [use.whole, ...use.instances])
      .map((unit) => [unit.uuid, unit]),
  );
}

export function occupancyOf(inventory: Inventory, live: Iterable<Occupied>): Occupancy {
  const occupancy = new Occupancy(inventory);
  for (const { units } of live) occupancy.add(units);
  return occupancy;
}
