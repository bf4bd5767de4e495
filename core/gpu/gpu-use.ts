import type { Gpu, GrantedUnit, Inventory } from "./model";

/** One GPU with what is granted on it. */
export interface GpuUse {
  gpu: Gpu;
  /** Place in the node's own order: by index, then by UUID. */
  order: number;
  /** Lower case, for filters. */
  model: string;
  whole: GrantedUnit;
  instances: GrantedUnit[];
  /** GPUs that it reaches over NVLink. */
  neighbours: GpuUse[];
  /** Holders of the whole GPU: more than 1 is a conflict that was found, never granted. */
  wholeHolders: number;
  shareHolders: number;
  sharedMiB: number;
  /** Holders per instance's UUID. */
  instanceHolders: Map<string, number>;
  /** Free instances by `instanceKey`. */
  freeInstances: Map<string, number>;
  /** Units granted on it that it does not have any more in this form: nothing new until they are gone. */
  strays: number;
  /** Units granted on it, of every kind. */
  holders: number;
  grantedMiB: number;
}

/** Instances of one profile are alike when they have as much memory (models differ). */
export function instanceKey(unit: GrantedUnit): string {
  return `${unit.profile?.toLowerCase()}/${unit.memoryMiB}`;
}

/** The node's GPUs in its own order, as people see them: `0`, and `0:1` for the second instance of GPU 0. */
export function gpuUses(inventory: Inventory): GpuUse[] {
  const gpus = [...inventory.gpus].sort(
    (a, b) => a.index - b.index || (a.uuid < b.uuid ? -1 : a.uuid > b.uuid ? 1 : 0),
  );
  const uses = gpus.map(useOf);
  const byUuid = new Map(uses.map((use) => [use.gpu.uuid, use]));
  for (const use of uses) {
    for (const uuid of use.gpu.nvlink) {
      const other = byUuid.get(uuid);
      if (!other || other === use) continue;
      // Either end may say it.
      if (!use.neighbours.includes(other)) use.neighbours.push(other);
      if (!other.neighbours.includes(use)) other.neighbours.push(use);
    }
  }
  return uses;
}

function useOf(gpu: Gpu, order: number): GpuUse {
  const common = { gpu: gpu.uuid, model: gpu.model, shared: false };
  const instances = gpu.mig
    ? gpu.instances.map(({ uuid, profile, memoryMiB }, at) => ({
        ...common,
        uuid,
        name: `${gpu.index}:${at}`,
        memoryMiB,
        profile,
      }))
    : [];
  const freeInstances = new Map<string, number>();
  for (const unit of instances) {
    freeInstances.set(instanceKey(unit), (freeInstances.get(instanceKey(unit)) ?? 0) + 1);
  }
  return {
    gpu,
    order,
    model: gpu.model.toLowerCase(),
    whole: { ...common, uuid: gpu.uuid, name: String(gpu.index), memoryMiB: gpu.memoryMiB },
    instances,
    neighbours: [],
    wholeHolders: 0,
    shareHolders: 0,
    sharedMiB: 0,
    instanceHolders: new Map(),
    freeInstances,
    strays: 0,
    holders: 0,
    grantedMiB: 0,
  };
}

/** Whether anything new may go on it at all. */
export function takesMore(use: GpuUse): boolean {
  return use.gpu.quarantined === undefined && use.strays === 0;
}

/** All of it free, and it is granted whole. */
export function wholeFree(use: GpuUse): boolean {
  return !use.gpu.mig && use.wholeHolders === 0 && use.shareHolders === 0 && takesMore(use);
}

/** What is left of its memory for shares. */
export function shareLeft(use: GpuUse): number {
  if (use.gpu.mig || use.wholeHolders > 0 || !takesMore(use)) return 0;
  return Math.max(0, use.gpu.memoryMiB - use.sharedMiB);
}

export function freeOf(use: GpuUse): GrantedUnit[] {
  return takesMore(use) ? use.instances.filter(({ uuid }) => !use.instanceHolders.get(uuid)) : [];
}

/** Whether the use has something to give, of any kind. */
export function hasRoom(use: GpuUse): boolean {
  if (!takesMore(use)) return false;
  return use.gpu.mig ? use.freeInstances.size > 0 : shareLeft(use) > 0;
}

/** The part of its memory that is granted: 0 to 1, above 1 only in a conflict. */
export function load(use: GpuUse): number {
  return use.gpu.memoryMiB > 0 ? use.grantedMiB / use.gpu.memoryMiB : use.holders;
}

/** Whether the GPU does not have the unit any more in the form in which it was granted. */
export function isStray(use: GpuUse, unit: GrantedUnit): boolean {
  const instance = use.instances.find(({ uuid }) => uuid === unit.uuid);
  if (!instance) return unit.uuid !== use.gpu.uuid || use.gpu.mig;
  return unit.profile !== undefined && instance.profile !== unit.profile;
}

/** Puts a unit on its use (`by` 1), or takes it off (-1). */
export function occupy(use: GpuUse, unit: GrantedUnit, by: 1 | -1): void {
  use.holders += by;
  use.grantedMiB += by * unit.memoryMiB;
  if (isStray(use, unit)) {
    use.strays += by;
    return;
  }
  const instance = use.instances.find(({ uuid }) => uuid === unit.uuid);
  if (instance) {
    const before = use.instanceHolders.get(unit.uuid) ?? 0;
    const after = before + by;
    if (after === 0) use.instanceHolders.delete(unit.uuid);
    else use.instanceHolders.set(unit.uuid, after);
    if ((before === 0) === (after === 0)) return;
    const key = instanceKey(instance);
    const free = (use.freeInstances.get(key) ?? 0) - by;
    if (free === 0) use.freeInstances.delete(key);
    else use.freeInstances.set(key, free);
    return;
  }
  if (unit.shared) {
    use.shareHolders += by;
    use.sharedMiB += by * unit.memoryMiB;
  } else use.wholeHolders += by;
}
