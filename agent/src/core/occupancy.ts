import { askRefusal, refusalOf, unitMeets } from "./asks";
import { type Capacity, capacityOf } from "./capacity";
import type { Ask, GrantedUnit, Inventory, Result, Strategy } from "./model";
import { busyRefusal, pinnedUnits } from "./refusals";
import { brokenShareRules, type ShareRules } from "./rules";
import {
  freeOf,
  hasRoom,
  instanceKey,
  load,
  makeSeats,
  occupy,
  type Seat,
  seatTakes,
  shareLeft,
  wholeFree,
} from "./seats";
import { pickWhole } from "./whole";

export interface PlaceDefaults extends ShareRules {
  /** @default "least-allocated" */
  strategy?: Strategy;
}

/** MIG instances that are alike. */
interface Kind {
  key: string;
  /** The profile as the driver writes it, and in lower case. */
  name: string;
  profile: string;
  memoryMiB: number;
}

/** Which GPU comes first; equal ones in the node's own order. */
const ranks: Record<Strategy, (a: Seat, b: Seat) => number> = {
  "least-allocated": (a, b) => load(a) - load(b) || a.order - b.order,
  pack: (a, b) => load(b) - load(a) || a.order - b.order,
  spread: (a, b) => a.holders - b.holders || load(a) - load(b) || a.order - b.order,
};

/**
 * What is granted on a node, kept up as grants come and go: a place is found without looking at every GPU again.
 * `place` changes nothing; `add` what it answers.
 */
export class Occupancy {
  readonly seats: readonly Seat[];
  private readonly byGpu: ReadonlyMap<string, Seat>;
  private readonly byInstance: ReadonlyMap<string, Seat>;
  /** GPUs with room, in the order of each strategy that was asked for. */
  private readonly ranked = new Map<Strategy, Seat[]>();
  /** Whole GPUs that may be granted now, in the node's order. */
  private readonly wholes: Seat[] = [];
  /** GPUs that were divided anew under a holder. */
  private readonly strays = new Set<Seat>();
  /** Instances that may be granted now, by `instanceKey`. */
  private readonly free = new Map<string, number>();
  /** The kinds of instance there are, the smallest first. */
  private readonly kinds: Kind[] = [];
  /** Worked out when first asked for: an inventory does not change. */
  private readonly known = new Map<string, Capacity>();

  constructor(readonly inventory: Inventory) {
    this.seats = makeSeats(inventory);
    this.byGpu = new Map(this.seats.map((seat) => [seat.gpu.uuid, seat]));
    this.byInstance = new Map(
      this.seats.flatMap((seat) => seat.instances.map(({ uuid }): [string, Seat] => [uuid, seat])),
    );
    const kinds = new Map<string, Kind>();
    for (const seat of this.seats) {
      this.count(seat, 1);
      if (wholeFree(seat)) this.wholes.push(seat);
      for (const unit of seat.instances) {
        const key = instanceKey(unit);
        const name = unit.profile ?? "";
        kinds.set(key, { key, name, profile: name.toLowerCase(), memoryMiB: unit.memoryMiB });
      }
    }
    this.kinds = [...kinds.values()].sort((a, b) => a.memoryMiB - b.memoryMiB || (a.key < b.key ? -1 : 1));
  }

  add(units: readonly GrantedUnit[]): void {
    for (const unit of units) this.change(unit, 1);
  }

  /** Only what was added before. */
  remove(units: readonly GrantedUnit[]): void {
    for (const unit of units) this.change(unit, -1);
  }

  /**
   * Where the unit is, or was; undefined: its GPU is not there. By its own UUID first: of a unit that was not there when
   * its container was found, no GPU is known.
   */
  seatOf(unit: GrantedUnit): Seat | undefined {
    return this.byInstance.get(unit.uuid) ?? this.byGpu.get(unit.gpu);
  }

  /** The GPU or instance of that UUID. */
  unit(uuid: string): GrantedUnit | undefined {
    return (
      this.byGpu.get(uuid)?.whole ??
      this.byInstance.get(uuid)?.instances.find((instance) => instance.uuid === uuid)
    );
  }

  /** Whether exactly this unit could be granted now: the instance, the whole GPU, or a share of that size. */
  isFree(unit: GrantedUnit): boolean {
    const seat = this.seatOf(unit);
    if (!seat || !seatTakes(seat)) return false;
    if (unit.uuid !== unit.gpu) {
      return freeOf(seat).some(({ uuid, profile }) => uuid === unit.uuid && profile === unit.profile);
    }
    return unit.shared ? shareLeft(seat) >= unit.memoryMiB : wholeFree(seat);
  }

  /**
   * Finds units for one ask. Refusals: bad-request, not-allowed (a share where there are none), unknown-profile,
   * impossible (not even if everything were free), busy.
   */
  place(ask: Ask, defaults: PlaceDefaults = {}): Result<GrantedUnit[]> {
    const wrong = askRefusal(ask) ?? refusalOf(brokenShareRules(ask, defaults));
    if (wrong) return { ok: false, refusal: wrong };
    if (ask.pins) return pinnedUnits(this, ask, ask.pins);
    const units = this.find(ask, ask.strategy ?? defaults.strategy ?? "least-allocated");
    return units ? { ok: true, value: units } : { ok: false, refusal: busyRefusal(this, ask) };
  }

  /** What could be granted for the ask if nothing else were. */
  capacity(ask: Ask): Capacity {
    const what = [ask.kind, ask.profile, ask.model, ask.memoryMiB].join("/");
    let capacity = this.known.get(what);
    if (!capacity) {
      capacity = capacityOf(this.seats, { ...ask, pins: undefined });
      // Asks come from outside: what is remembered of them has an end.
      if (this.known.size >= 1000) this.known.clear();
      this.known.set(what, capacity);
    }
    return capacity;
  }

  /** What there is now: units for the ask (a share: GPUs), what is free of everything, and GPUs in dispute. */
  room(ask: Ask): { units: number; wholes: readonly Seat[]; instances: Map<string, number>; strays: Seat[] } {
    const matches = modelFilter(ask);
    const instances = new Map<string, number>();
    for (const { key, name } of this.kinds) {
      const free = this.free.get(key);
      if (free) instances.set(name, (instances.get(name) ?? 0) + free);
    }
    const strays = [...this.strays].filter(matches);
    const memory = ask.memoryMiB ?? 0;
    if (ask.kind === "gpu") {
      const fits = this.wholes.filter((seat) => seat.gpu.memoryMiB >= memory && matches(seat));
      return { units: fits.length, wholes: this.wholes, instances, strays };
    }
    const open = this.rank("least-allocated").filter(matches);
    let units = 0;
    for (const seat of open) {
      if (ask.kind === "share") units += shareLeft(seat) >= memory ? 1 : 0;
      else if (seat.freeInstances.size > 0)
        units += freeOf(seat).filter((unit) => unitMeets(ask, unit)).length;
    }
    return { units, wholes: this.wholes, instances, strays };
  }

  private find(ask: Ask, strategy: Strategy): GrantedUnit[] | undefined {
    const matches = modelFilter(ask);
    if (ask.kind === "gpu") {
      const least = ask.memoryMiB ?? 0;
      const fits = (seat: Seat) => seat.gpu.memoryMiB >= least && matches(seat);
      const any = ask.memoryMiB === undefined && ask.model === undefined;
      const seats = any ? this.wholes : this.wholes.filter(fits);
      return pickWhole(seats, ask.count, strategy)?.map(({ whole }) => ({ ...whole }));
    }
    if (ask.kind === "share") {
      const memoryMiB = ask.memoryMiB ?? 0;
      const seat = this.rank(strategy).find((one) => shareLeft(one) >= memoryMiB && matches(one));
      return seat && [{ ...seat.whole, memoryMiB, shared: true }];
    }
    const found: GrantedUnit[] = [];
    while (found.length < ask.count) {
      const unit = this.findInstance(ask, strategy, matches, found);
      if (!unit) break;
      found.push(unit);
      // The next one sees it as taken.
      this.change(unit, 1);
    }
    this.remove(found);
    return found.length === ask.count ? found : undefined;
  }

  /** One instance of the smallest kind that will do. */
  private findInstance(
    ask: Ask,
    strategy: Strategy,
    matches: (seat: Seat) => boolean,
    found: readonly GrantedUnit[],
  ): GrantedUnit | undefined {
    const profile = ask.profile?.toLowerCase();
    for (const kind of this.kinds) {
      if (profile !== undefined && kind.profile !== profile) continue;
      if (kind.memoryMiB < (ask.memoryMiB ?? 0) || !this.free.get(kind.key)) continue;
      const fits = (seat: Seat) => seat.freeInstances.has(kind.key) && matches(seat);
      const rank = this.rank(strategy);
      // Spread: a GPU that this ask does not have yet, while there is one.
      const seat =
        (strategy === "spread"
          ? rank.find((one) => fits(one) && !found.some(({ gpu }) => gpu === one.gpu.uuid))
          : undefined) ?? rank.find(fits);
      const unit = seat?.instances.find(
        (one) => !seat.instanceHolders.get(one.uuid) && instanceKey(one) === kind.key,
      );
      if (unit) return { ...unit };
    }
    return undefined;
  }

  private rank(strategy: Strategy): Seat[] {
    let seats = this.ranked.get(strategy);
    if (!seats) {
      seats = this.seats.filter(hasRoom).sort(ranks[strategy]);
      this.ranked.set(strategy, seats);
    }
    return seats;
  }

  private change(unit: GrantedUnit, by: 1 | -1): void {
    const seat = this.seatOf(unit);
    if (!seat) return;
    this.count(seat, -1);
    const wasWhole = wholeFree(seat);
    for (const [strategy, seats] of this.ranked) {
      const at = place(seats, seat, ranks[strategy]);
      if (seats[at] === seat) seats.splice(at, 1);
    }
    occupy(seat, unit, by);
    this.count(seat, 1);
    if (seat.strays > 0) this.strays.add(seat);
    else this.strays.delete(seat);
    if (wasWhole !== wholeFree(seat)) {
      const at = place(this.wholes, seat, (one, other) => one.order - other.order);
      if (wasWhole) this.wholes.splice(at, 1);
      else this.wholes.splice(at, 0, seat);
    }
    if (!hasRoom(seat)) return;
    for (const [strategy, seats] of this.ranked) seats.splice(place(seats, seat, ranks[strategy]), 0, seat);
  }

  private count(seat: Seat, by: 1 | -1): void {
    if (!seatTakes(seat)) return;
    for (const [key, free] of seat.freeInstances) this.free.set(key, (this.free.get(key) ?? 0) + by * free);
  }
}

/** Where the seat is in the sorted list, or would be. */
function place(seats: readonly Seat[], seat: Seat, compare: (a: Seat, b: Seat) => number): number {
  let low = 0;
  let high = seats.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = seats[middle];
    if (other && compare(other, seat) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function modelFilter(ask: Ask): (seat: Seat) => boolean {
  const model = ask.model?.toLowerCase();
  return model === undefined ? () => true : (seat) => seat.model.includes(model);
}
