import { askRefusal, refusalOf, unitMeets } from "./asks";
import { type Capacity, capacityOf } from "./capacity";
import {
  freeOf,
  type GpuUse,
  gpuUses,
  hasRoom,
  instanceKey,
  load,
  occupy,
  shareLeft,
  takesMore,
  wholeFree,
} from "./gpu-use";
import { type Ask, type GrantedUnit, type Inventory, type Result, refuse, type Strategy } from "./model";
import { pickWhole } from "./pick-gpus";
import { busyRefusal, type GpuUses, pinnedUnits, type Room } from "./refusals";
import { brokenShareRules, type ShareRules } from "./rules";

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
const ranks: Record<Strategy, (a: GpuUse, b: GpuUse) => number> = {
  "least-allocated": (a, b) => load(a) - load(b) || a.order - b.order,
  pack: (a, b) => load(b) - load(a) || a.order - b.order,
  spread: (a, b) => a.holders - b.holders || load(a) - load(b) || a.order - b.order,
};

/**
 * What is granted on a node, kept up as grants come and go: a place is found without looking at every GPU again.
 * `place` changes nothing; `add` what it answers.
 */
export class Occupancy implements GpuUses {
  readonly uses: readonly GpuUse[];
  private readonly byGpu: ReadonlyMap<string, GpuUse>;
  private readonly byInstance: ReadonlyMap<string, GpuUse>;
  /** GPUs with room, in the order of each strategy that was asked for. */
  private readonly ranked = new Map<Strategy, GpuUse[]>();
  /** Whole GPUs that may be granted now, in the node's order. */
  private readonly wholes: GpuUse[] = [];
  /** GPUs that were divided anew under a holder. */
  private readonly strays = new Set<GpuUse>();
  /** Instances that may be granted now, by `instanceKey`. */
  private readonly free = new Map<string, number>();
  /** The kinds of instance there are, the smallest first. */
  private readonly kinds: Kind[] = [];
  /** Worked out when first asked for: an inventory does not change. */
  private readonly known = new Map<string, Capacity>();

  constructor(readonly inventory: Inventory) {
    this.uses = gpuUses(inventory);
    this.byGpu = new Map(this.uses.map((use) => [use.gpu.uuid, use]));
    this.byInstance = new Map(
      this.uses.flatMap((use) => use.instances.map(({ uuid }): [string, GpuUse] => [uuid, use])),
    );
    const kinds = new Map<string, Kind>();
    for (const use of this.uses) {
      this.count(use, 1);
      if (wholeFree(use)) this.wholes.push(use);
      for (const unit of use.instances) {
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
  useOf(unit: GrantedUnit): GpuUse | undefined {
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
    const use = this.useOf(unit);
    if (!use || !takesMore(use)) return false;
    if (unit.uuid !== unit.gpu) {
      return freeOf(use).some(({ uuid, profile }) => uuid === unit.uuid && profile === unit.profile);
    }
    return unit.shared ? shareLeft(use) >= unit.memoryMiB : wholeFree(use);
  }

  /**
   * Finds units for one ask. Refusals: bad-request, not-allowed (a share where there are none), unknown-profile,
   * impossible (not even if everything were free), busy.
   */
  place(ask: Ask, defaults: PlaceDefaults = {}): Result<GrantedUnit[]> {
    const wrong = askRefusal(ask) ?? refusalOf(brokenShareRules(ask, defaults));
    if (wrong) return refuse(wrong);
    if (ask.pins) return pinnedUnits(this, ask, ask.pins);
    const units = this.find(ask, ask.strategy ?? defaults.strategy ?? "least-allocated");
    return units ? { ok: true, value: units } : refuse(busyRefusal(this, ask));
  }

  /** What could be granted for the ask if nothing else were. */
  capacity(ask: Ask): Capacity {
    const what = [ask.kind, ask.profile, ask.model, ask.memoryMiB].join("/");
    let capacity = this.known.get(what);
    if (!capacity) {
      capacity = capacityOf(this.uses, { ...ask, pins: undefined });
      // Asks come from outside: what is remembered of them has an end.
      if (this.known.size >= 1000) this.known.clear();
      this.known.set(what, capacity);
    }
    return capacity;
  }

  /** What there is now: units for the ask (a share: GPUs), what is free of everything, and GPUs in dispute. */
  room(ask: Ask): Room {
    const matches = modelFilter(ask);
    const instances = new Map<string, number>();
    for (const { key, name } of this.kinds) {
      const free = this.free.get(key);
      if (free) instances.set(name, (instances.get(name) ?? 0) + free);
    }
    const strays = [...this.strays].filter(matches);
    const memory = ask.memoryMiB ?? 0;
    if (ask.kind === "gpu") {
      const fits = this.wholes.filter((use) => use.gpu.memoryMiB >= memory && matches(use));
      return { units: fits.length, wholes: this.wholes, instances, strays };
    }
    const open = this.rank("least-allocated").filter(matches);
    let units = 0;
    for (const use of open) {
      if (ask.kind === "share") units += shareLeft(use) >= memory ? 1 : 0;
      else if (use.freeInstances.size > 0) units += freeOf(use).filter((unit) => unitMeets(ask, unit)).length;
    }
    return { units, wholes: this.wholes, instances, strays };
  }

  private find(ask: Ask, strategy: Strategy): GrantedUnit[] | undefined {
    const matches = modelFilter(ask);
    if (ask.kind === "gpu") {
      const least = ask.memoryMiB ?? 0;
      const fits = (use: GpuUse) => use.gpu.memoryMiB >= least && matches(use);
      const any = ask.memoryMiB === undefined && ask.model === undefined;
      const uses = any ? this.wholes : this.wholes.filter(fits);
      return pickWhole(uses, ask.count, strategy)?.map(({ whole }) => ({ ...whole }));
    }
    if (ask.kind === "share") {
      const memoryMiB = ask.memoryMiB ?? 0;
      const use = this.rank(strategy).find((one) => shareLeft(one) >= memoryMiB && matches(one));
      return use && [{ ...use.whole, memoryMiB, shared: true }];
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
    matches: (use: GpuUse) => boolean,
    found: readonly GrantedUnit[],
  ): GrantedUnit | undefined {
    const profile = ask.profile?.toLowerCase();
    for (const kind of this.kinds) {
      if (profile !== undefined && kind.profile !== profile) continue;
      if (kind.memoryMiB < (ask.memoryMiB ?? 0) || !this.free.get(kind.key)) continue;
      const fits = (use: GpuUse) => use.freeInstances.has(kind.key) && matches(use);
      const rank = this.rank(strategy);
      // Spread: a GPU that this ask does not have yet, while there is one.
      const use =
        (strategy === "spread"
          ? rank.find((one) => fits(one) && !found.some(({ gpu }) => gpu === one.gpu.uuid))
          : undefined) ?? rank.find(fits);
      const unit = use?.instances.find(
        (one) => !use.instanceHolders.get(one.uuid) && instanceKey(one) === kind.key,
      );
      if (unit) return { ...unit };
    }
    return undefined;
  }

  private rank(strategy: Strategy): GpuUse[] {
    let uses = this.ranked.get(strategy);
    if (!uses) {
      uses = this.uses.filter(hasRoom).sort(ranks[strategy]);
      this.ranked.set(strategy, uses);
    }
    return uses;
  }

  private change(unit: GrantedUnit, by: 1 | -1): void {
    const use = this.useOf(unit);
    if (!use) return;
    this.count(use, -1);
    const wasWhole = wholeFree(use);
    for (const [strategy, uses] of this.ranked) {
      const at = place(uses, use, ranks[strategy]);
      if (uses[at] === use) uses.splice(at, 1);
    }
    occupy(use, unit, by);
    this.count(use, 1);
    if (use.strays > 0) this.strays.add(use);
    else this.strays.delete(use);
    if (wasWhole !== wholeFree(use)) {
      const at = place(this.wholes, use, (one, other) => one.order - other.order);
      if (wasWhole) this.wholes.splice(at, 1);
      else this.wholes.splice(at, 0, use);
    }
    if (!hasRoom(use)) return;
    for (const [strategy, uses] of this.ranked) uses.splice(place(uses, use, ranks[strategy]), 0, use);
  }

  private count(use: GpuUse, by: 1 | -1): void {
    if (!takesMore(use)) return;
    for (const [key, free] of use.freeInstances) this.free.set(key, (this.free.get(key) ?? 0) + by * free);
  }
}

/** Where the use is in the sorted list, or would be. */
function place(uses: readonly GpuUse[], use: GpuUse, compare: (a: GpuUse, b: GpuUse) => number): number {
  let low = 0;
  let high = uses.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = uses[middle];
    if (other && compare(other, use) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function modelFilter(ask: Ask): (use: GpuUse) => boolean {
  const model = ask.model?.toLowerCase();
  return model === undefined ? () => true : (use) => use.model.includes(model);
}
