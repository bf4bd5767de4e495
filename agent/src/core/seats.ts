import type { Gpu, GrantedUnit, Inventory } from "./model";

/** One GPU with what is granted on it. */
export interface Seat {
  gpu: Gpu;
  /** Place in the node's own order: by index, then by UUID. */
  order: number;
  /** Lower case, for filters. */
  model: string;
  whole: GrantedUnit;
  instances: GrantedUnit[];
  /** Seats that it reaches over NVLink. */
  neighbours: Seat[];
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
export function makeSeats(inventory: Inventory): Seat[] {
  const gpus = [...inventory.gpus].sort(
    (a, b) => a.index - b.index || (a.uuid < b.uuid ? -1 : a.uuid > b.uuid ? 1 : 0),
  );
  const seats = gpus.map(seatOf);
  const byUuid = new Map(seats.map((seat) => [seat.gpu.uuid, seat]));
  for (const seat of seats) {
    for (const uuid of seat.gpu.nvlink) {
      const other = byUuid.get(uuid);
      if (!other || other === seat) continue;
      // Either end may say it.
      if (!seat.neighbours.includes(other)) seat.neighbours.push(other);
      if (!other.neighbours.includes(seat)) other.neighbours.push(seat);
    }
  }
  return seats;
}

function seatOf(gpu: Gpu, order: number): Seat {
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
export function seatTakes(seat: Seat): boolean {
  return seat.gpu.quarantined === undefined && seat.strays === 0;
}

/** All of it free, and it is granted whole. */
export function wholeFree(seat: Seat): boolean {
  return !seat.gpu.mig && seat.wholeHolders === 0 && seat.shareHolders === 0 && seatTakes(seat);
}

/** What is left of its memory for shares. */
export function shareLeft(seat: Seat): number {
  if (seat.gpu.mig || seat.wholeHolders > 0 || !seatTakes(seat)) return 0;
  return Math.max(0, seat.gpu.memoryMiB - seat.sharedMiB);
}

export function freeOf(seat: Seat): GrantedUnit[] {
  return seatTakes(seat) ? seat.instances.filter(({ uuid }) => !seat.instanceHolders.get(uuid)) : [];
}

/** Whether the seat has something to give, of any kind. */
export function hasRoom(seat: Seat): boolean {
  if (!seatTakes(seat)) return false;
  return seat.gpu.mig ? seat.freeInstances.size > 0 : shareLeft(seat) > 0;
}

/** The part of its memory that is granted: 0 to 1, above 1 only in a conflict. */
export function load(seat: Seat): number {
  return seat.gpu.memoryMiB > 0 ? seat.grantedMiB / seat.gpu.memoryMiB : seat.holders;
}

/** Whether the GPU does not have the unit any more in the form in which it was granted. */
export function isStray(seat: Seat, unit: GrantedUnit): boolean {
  const instance = seat.instances.find(({ uuid }) => uuid === unit.uuid);
  if (!instance) return unit.uuid !== seat.gpu.uuid || seat.gpu.mig;
  return unit.profile !== undefined && instance.profile !== unit.profile;
}

/** Puts a unit on its seat (`by` 1), or takes it off (-1). */
export function occupy(seat: Seat, unit: GrantedUnit, by: 1 | -1): void {
  seat.holders += by;
  seat.grantedMiB += by * unit.memoryMiB;
  if (isStray(seat, unit)) {
    seat.strays += by;
    return;
  }
  const instance = seat.instances.find(({ uuid }) => uuid === unit.uuid);
  if (instance) {
    const before = seat.instanceHolders.get(unit.uuid) ?? 0;
    const after = before + by;
    if (after === 0) seat.instanceHolders.delete(unit.uuid);
    else seat.instanceHolders.set(unit.uuid, after);
    if ((before === 0) === (after === 0)) return;
    const key = instanceKey(instance);
    const free = (seat.freeInstances.get(key) ?? 0) - by;
    if (free === 0) seat.freeInstances.delete(key);
    else seat.freeInstances.set(key, free);
    return;
  }
  if (unit.shared) {
    seat.shareHolders += by;
    seat.sharedMiB += by * unit.memoryMiB;
  } else seat.wholeHolders += by;
}
