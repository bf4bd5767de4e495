import type { Grant, GrantedUnit, Inventory } from "./model";
import { Occupancy } from "./occupancy";

/** The live grants, by what they are looked up by. */
export class LedgerIndex {
  readonly occupancy: Occupancy;
  private readonly users = new Map<string, Map<string, Grant>>();
  private readonly containers = new Map<string, Map<string, Grant>>();
  private readonly keys = new Map<string, Map<string, Grant>>();
  private readonly gpus = new Map<string, Map<string, Grant>>();

  constructor(inventory: Inventory, grants: Iterable<Grant>) {
    this.occupancy = new Occupancy(inventory);
    for (const grant of grants) this.add(grant);
  }

  add(grant: Grant): void {
    this.occupancy.add(grant.units);
    this.each(grant, (map, by) => {
      const there = map.get(by);
      if (there) there.set(grant.id, grant);
      else map.set(by, new Map([[grant.id, grant]]));
    });
  }

  remove(grant: Grant): void {
    this.occupancy.remove(grant.units);
    this.each(grant, (map, by) => {
      const there = map.get(by);
      there?.delete(grant.id);
      if (there?.size === 0) map.delete(by);
    });
  }

  ofUser(user: string): Grant[] {
    return [...(this.users.get(user)?.values() ?? [])];
  }

  ofContainer(container: string): Grant[] {
    return [...(this.containers.get(container)?.values() ?? [])];
  }

  /** The one that the stack declares now: not one that it dropped. */
  ofKey(key: string): Grant | undefined {
    return [...(this.keys.get(key)?.values() ?? [])].find(({ dropped }) => !dropped);
  }

  /** Dropped ones of the key, whose containers are still there. */
  droppedOf(key: string): Grant[] {
    return [...(this.keys.get(key)?.values() ?? [])].filter(({ dropped }) => dropped);
  }

  /** Grants with units on the GPU that this unit is on. */
  beside(unit: GrantedUnit): Iterable<Grant> {
    return this.gpus.get(this.gpuOf(unit))?.values() ?? [];
  }

  private gpuOf(unit: GrantedUnit): string {
    return this.occupancy.useOf(unit)?.gpu.uuid ?? unit.gpu;
  }

  private each(grant: Grant, visit: (map: Map<string, Map<string, Grant>>, by: string) => void): void {
    visit(this.users, grant.user);
    if (grant.container !== undefined) visit(this.containers, grant.container);
    if (grant.key !== undefined) visit(this.keys, grant.key);
    for (const gpu of new Set(grant.units.map((unit) => this.gpuOf(unit)))) visit(this.gpus, gpu);
  }
}
