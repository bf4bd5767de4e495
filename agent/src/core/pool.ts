/**
 * Who gets what of all that the stack declares for a node. Pure, and the same whatever the order of the declarations:
 * a preview and the `up` after it agree. Nobody is moved to make room for somebody else.
 */
import { askRefusal, unitMeets } from "./asks";
import type {
  Ask,
  Assignment,
  DeclaredGrant,
  EffectiveLimits,
  Grant,
  GrantedUnit,
  Inventory,
  Refusal,
  Result,
  Strategy,
} from "./model";
import { Occupancy } from "./occupancy";
import { keptOver, overRules, type Usage, unknownUser, usageOf } from "./rules";
import { isStray } from "./seats";

export interface PoolInput {
  inventory: Inventory;
  /** Live ones of the node, declared and not. */
  grants: readonly Grant[];
  declared: readonly DeclaredGrant[];
  limitsOf(user: string): EffectiveLimits | undefined;
  strategy: Strategy;
  allowShared: boolean;
  /** What was assigned before, by key: kept where the ledger has no grant of the key and it is free. */
  previous?: Assignment;
}

export interface PoolPlan {
  /** By key, in the order of keys. A refused key is there with what it has already, if it has anything. */
  assignment: Assignment;
  kept: string[];
  added: string[];
  /** Other units than before, because the ask changed or a unit is not there any more. */
  moved: { key: string; from: GrantedUnit[]; to: GrantedUnit[] }[];
  /** Keys that are not declared any more. */
  freed: string[];
  refusals: { key: string; refusal: Refusal }[];
  /** Units that another key's container has until it is gone: nothing else was free. */
  waits: { key: string; units: GrantedUnit[]; heldBy: string }[];
  /** Kept, though it is more than the limits say by now: `workspace/alice: …`. */
  overLimit: string[];
}

/** Units that the stack takes back, while a container still has them. */
interface Leftover {
  key: string;
  units: GrantedUnit[];
}

interface Job {
  key: string;
  user: string;
  ask: Ask;
  /** The grant that the key has now. */
  grant?: Grant;
  /** What it has, or had, of what is asked for. */
  keep: GrantedUnit[];
  before: GrantedUnit[];
}

export function planPool(input: PoolInput): PoolPlan {
  // What a changed key gives up may go to another, as long as the key finds a new place: one that finds none keeps
  // what it has, and all is planned again around it. At most once per changed key.
  const stay = new Map<string, Refusal>();
  for (;;) {
    const planning = new Planning(input, stay);
    const plan = planning.plan();
    if (planning.stuck.size === 0) return plan;
    for (const [key, refusal] of planning.stuck) stay.set(key, refusal);
  }
}

class Planning {
  private readonly occupancy: Occupancy;
  private readonly assigned = new Map<string, GrantedUnit[]>();
  private readonly refusals: PoolPlan["refusals"] = [];
  private readonly leftovers: Leftover[] = [];
  private readonly overLimit: string[] = [];
  /** What each user has beside the keys that are not placed yet. */
  private readonly usage = new Map<string, Usage>();

  /** Changed keys that found no place, though others may have been given what they have. */
  readonly stuck = new Map<string, Refusal>();

  constructor(
    private readonly input: PoolInput,
    private readonly stayWith: ReadonlyMap<string, Refusal>,
  ) {
    this.occupancy = new Occupancy(input.inventory);
  }

  plan(): PoolPlan {
    const { jobs, freed } = this.sortOut();
    const pending = jobs.filter((job) => !this.keepAll(job));
    // What they keep of theirs is taken before anything is placed anew.
    for (const job of pending) this.keepPart(job);
    for (const leftover of this.leftovers) this.occupancy.add(leftover.units);
    for (const job of pending) this.prefer(job);
    // Changed keys first: whoever has something is served before whoever comes.
    const changed = (job: Job) => Number(job.grant !== undefined);
    for (const job of pending.sort((a, b) => changed(b) - changed(a) || hardestFirst(a, b))) this.settle(job);
    return this.result(jobs, freed);
  }

  /** What stays, what goes, what is to be placed. */
  private sortOut(): { jobs: Job[]; freed: string[] } {
    const { grants, previous } = this.input;
    const declared = this.unique();
    const freed = new Set<string>();
    const byKey = new Map<string, Grant>();
    for (const grant of [...grants].sort((a, b) => a.token - b.token)) {
      if (grant.key === undefined) {
        this.occupancy.add(grant.units);
        this.count(grant.user, [grant]);
      } else if (!grant.dropped && declared.has(grant.key)) byKey.set(grant.key, grant);
    }
    for (const grant of grants) {
      const { key } = grant;
      if (key === undefined || byKey.get(key) === grant) continue;
      const again = grant.dropped && !byKey.has(key) ? declared.get(key) : undefined;
      // Declared again before its container went: it simply stays.
      if (again && again.user === grant.user && fits(again.ask, grant.units)) byKey.set(key, grant);
      else {
        if (!grant.dropped && !declared.has(key)) freed.add(key);
        if (grant.container !== undefined) this.leftovers.push({ key, units: grant.units });
      }
    }
    for (const key of Object.keys(previous ?? {})) if (!declared.has(key)) freed.add(key);
    this.leftovers.sort((a, b) => compare(a.key, b.key));
    const jobs = [...declared.values()].map(({ key, user, ask }): Job => {
      const grant = byKey.get(key);
      return { key, user, ask, grant, keep: [], before: grant?.units ?? previous?.[key] ?? [] };
    });
    return { jobs: jobs.sort((a, b) => compare(a.key, b.key)), freed: [...freed].sort() };
  }

  private unique(): Map<string, DeclaredGrant> {
    const declared = new Map<string, DeclaredGrant>();
    const twice = new Set<string>();
    for (const one of this.input.declared) {
      if (declared.has(one.key)) twice.add(one.key);
      declared.set(one.key, one);
    }
    for (const key of [...twice].sort()) {
      declared.delete(key);
      this.refuse(key, {
        code: "bad-request",
        message: `${key} is declared more than once`,
        allowed: "each key once",
        fix: "give one of them another name",
      });
    }
    return declared;
  }

  /** True: the key has what it asks for, and keeps it; or it is refused and keeps what it has. */
  private keepAll(job: Job): boolean {
    const { key, user, ask, grant } = job;
    const wrong = this.stayWith.get(key) ?? askRefusal(ask);
    const limits = this.input.limitsOf(user);
    if (wrong || (!limits && !grant)) {
      this.refuse(key, wrong ?? unknownUser(user));
      this.stay(job);
      return true;
    }
    if (!grant) return false;
    if (grant.user === user && fits(ask, grant.units) && grant.units.every((unit) => this.isThere(unit))) {
      this.stay(job);
      const over = keptOver(limits, user, ask, this.usageOf(user));
      this.overLimit.push(...over.map((what) => `${key}: ${what}`));
      return true;
    }
    return false;
  }

  /** What a changed key has of what it asks for now. Not what is in dispute or in quarantine: it would be a new grant. */
  private keepPart(job: Job): void {
    const { key, ask, grant } = job;
    if (!grant) return;
    const fine = (unit: GrantedUnit) =>
      unitMeets(ask, unit) && this.isThere(unit) && this.occupancy.isFree(unit);
    job.keep = grant.units.filter(fine).slice(0, ask.count);
    this.occupancy.add(job.keep);
    const rest = grant.units.filter((unit) => !job.keep.includes(unit));
    if (grant.container !== undefined && rest.length > 0) this.leftovers.push({ key, units: rest });
  }

  /** The units that the key had by an earlier word, where the ledger knows none and they are free. */
  private prefer(job: Job): void {
    for (const unit of this.input.previous?.[job.key] ?? []) {
      if (job.keep.length >= job.ask.count) return;
      const named = this.occupancy.unit(unit.uuid);
      if (!named || job.keep.some(({ uuid }) => uuid === unit.uuid)) continue;
      const now = unit.shared ? { ...named, shared: true, memoryMiB: unit.memoryMiB } : { ...named };
      if (now.shared && !this.input.allowShared) continue;
      if (!unitMeets(job.ask, now) || !this.occupancy.isFree(now)) continue;
      job.keep.push(now);
      this.occupancy.add([now]);
    }
  }

  private settle(job: Job): void {
    const { key, user, ask } = job;
    // `keep` was taken for it; it is counted below as a part of the whole.
    this.occupancy.remove(job.keep);
    const limits = this.input.limitsOf(user);
    const refusal = limits ? overRules(limits, ask, this.usageOf(user)) : unknownUser(user);
    const placed: Result<GrantedUnit[]> = refusal ? { ok: false, refusal } : this.placeFor(job);
    if (placed.ok) {
      this.occupancy.add(placed.value);
      this.assign(job, placed.value);
    } else if (job.grant) this.stuck.set(key, placed.refusal);
    else this.refuse(key, placed.refusal);
  }

  /** Places what is missing; where nothing is free, over what the containers of dropped keys still have. */
  private placeFor(job: Job): Result<GrantedUnit[]> {
    const { ask, keep } = job;
    const missing: Ask = { ...ask, count: ask.count - keep.length };
    if (missing.count === 0) return { ok: true, value: keep };
    if (ask.pins) missing.pins = ask.pins.filter((pin) => !keep.some(({ uuid }) => uuid === pin));
    this.occupancy.add(keep);
    const vacated: Leftover[] = [];
    const found = this.search(job, missing, vacated);
    for (const { units } of vacated) this.occupancy.add(units);
    this.occupancy.remove(keep);
    if (!found.ok) return { ok: false, refusal: this.named(found.refusal) };
    return { ok: true, value: [...keep, ...found.value] };
  }

  private search(job: Job, missing: Ask, vacated: Leftover[]): Result<GrantedUnit[]> {
    const defaults = { strategy: this.input.strategy, allowShared: this.input.allowShared };
    const vacate = (leftover: Leftover) => {
      this.occupancy.remove(leftover.units);
      vacated.push(leftover);
    };
    const strict = this.occupancy.place(missing, defaults);
    if (strict.ok || strict.refusal.code !== "busy") return strict;
    // The choice of an earlier plan stands, as far as it can.
    const uuids = (this.input.previous?.[job.key] ?? [])
      .map(({ uuid }) => uuid)
      .filter((uuid) => !job.keep.some((unit) => unit.uuid === uuid));
    if (uuids.length === missing.count && missing.pins === undefined) {
      for (const leftover of this.leftovers) {
        if (leftover.units.some(({ uuid }) => uuids.includes(uuid))) vacate(leftover);
      }
      const again = this.occupancy.place({ ...missing, pins: uuids }, defaults);
      if (again.ok) return again;
      for (const { units } of vacated.splice(0)) this.occupancy.add(units);
    }
    for (const leftover of this.leftovers) {
      vacate(leftover);
      const found = this.occupancy.place(missing, defaults);
      if (found.ok) return found;
    }
    return strict;
  }

  /** A refusal for want of room says who has it. */
  private named(refusal: Refusal): Refusal {
    if (refusal.code !== "busy") return refusal;
    const holders = [
      ...this.input.grants
        .filter(({ key }) => key === undefined)
        .map((grant) => ({ who: `${grant.user} (${grant.purpose || grant.id})`, units: grant.units })),
      ...[...this.assigned].map(([who, units]) => ({ who, units })),
      ...this.leftovers.map(({ key, units }) => ({ who: `${key} (to be freed)`, units })),
    ].map(({ who, units }) => `${units.map(({ name }) => name).join(", ")} by ${who}`);
    if (holders.length === 0) return refusal;
    return { ...refusal, message: `${refusal.message}; held: ${holders.sort().join("; ")}` };
  }

  /** The key keeps what it has, whatever it asks for: running work is left alone. */
  private stay(job: Job): void {
    if (!job.grant) return;
    this.occupancy.add(job.grant.units);
    this.assign(job, job.grant.units);
  }

  private assign({ key, user, ask, grant }: Job, units: GrantedUnit[]): void {
    this.assigned.set(key, units);
    this.count(user, [{ key, units, purpose: key, id: key, ask, container: grant?.container }]);
  }

  private count(
    user: string,
    grants: Pick<Grant, "key" | "units" | "purpose" | "id" | "ask" | "container">[],
  ): void {
    const more = usageOf(grants as Grant[]);
    const had = this.usageOf(user);
    this.usage.set(user, {
      units: had.units + more.units,
      by: [...had.by, ...more.by],
      containers: had.containers + more.containers,
    });
  }

  private usageOf(user: string): Usage {
    return this.usage.get(user) ?? { units: 0, by: [], containers: 0 };
  }

  private isThere(unit: GrantedUnit): boolean {
    const seat = this.occupancy.seatOf(unit);
    return seat !== undefined && !isStray(seat, unit);
  }

  private refuse(key: string, refusal: Refusal): void {
    this.refusals.push({ key, refusal });
  }

  private result(jobs: readonly Job[], freed: string[]): PoolPlan {
    const plan: PoolPlan = {
      assignment: {},
      kept: [],
      added: [],
      moved: [],
      freed,
      refusals: this.refusals.sort((a, b) => compare(a.key, b.key)),
      waits: [],
      overLimit: this.overLimit.sort(),
    };
    for (const { key, before } of jobs) {
      const units = this.assigned.get(key);
      if (!units) continue;
      plan.assignment[key] = units;
      for (const leftover of this.leftovers) {
        const held = units.filter((unit) => leftover.units.some(({ uuid }) => uuid === unit.uuid));
        if (held.length > 0 && leftover.key !== key) {
          plan.waits.push({ key, units: held, heldBy: leftover.key });
        }
      }
      if (before.length === 0) plan.added.push(key);
      else if (sameUnits(before, units)) plan.kept.push(key);
      else plan.moved.push({ key, from: before, to: units });
    }
    return plan;
  }
}

/** Whether the units are what is asked for, all of it and no more. */
function fits(ask: Ask, units: readonly GrantedUnit[]): boolean {
  return units.length === ask.count && units.every((unit) => unitMeets(ask, unit));
}

/** Those with the least choice first, so that the others do not take it from them. */
function hardestFirst(a: Job, b: Job): number {
  const kinds = { gpu: 0, mig: 1, share: 2 };
  return (
    Number(b.ask.pins !== undefined) - Number(a.ask.pins !== undefined) ||
    kinds[a.ask.kind] - kinds[b.ask.kind] ||
    b.ask.count - a.ask.count ||
    Number(b.ask.profile !== undefined) - Number(a.ask.profile !== undefined) ||
    (b.ask.memoryMiB ?? 0) - (a.ask.memoryMiB ?? 0) ||
    compare(a.key, b.key)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sameUnits(a: readonly GrantedUnit[], b: readonly GrantedUnit[]): boolean {
  const words = (units: readonly GrantedUnit[]) =>
    units
      .map(({ uuid, shared, memoryMiB }) => (shared ? `${uuid}/${memoryMiB}` : uuid))
      .sort()
      .join();
  return words(a) === words(b);
}

/** Whether each key has the same units in both: the names that people see do not count. */
export function sameAssignment(a: Assignment, b: Assignment): boolean {
  const keys = Object.keys(a).sort();
  return (
    keys.join("\n") === Object.keys(b).sort().join("\n") &&
    keys.every((key) => sameUnits(a[key] ?? [], b[key] ?? []))
  );
}
