/**
 * Who gets what of all that the stack declares for a node. Pure, and the same whatever the order of the declarations:
 * a preview and the `up` after it agree. Nobody is moved to make room for somebody else.
 */
import { askRefusal, unitMeets } from "./asks";
import {
  compare,
  type DeclaredInput,
  fits,
  hardestFirst,
  type Job,
  type Leftover,
  sameAssignment,
  sameUnits,
  sortOut,
} from "./declared-jobs";
import { isStray } from "./gpu-use";
import {
  type Ask,
  type Assignment,
  type Grant,
  type GrantedUnit,
  type Refusal,
  type Result,
  refuse,
} from "./model";
import { Occupancy } from "./occupancy";
import { keptOver, overRules, type Usage, unknownUser, usageOf } from "./rules";

export interface DeclaredPlan {
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

export function planDeclared(input: DeclaredInput): DeclaredPlan {
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

/**
 * The plan that is exactly the promise; undefined: it cannot be kept any more. What was promised is not chosen anew:
 * of two choices that are as good, planning may make the other one the second time.
 */
export function promisedPlan(input: DeclaredInput, promise: Assignment): DeclaredPlan | undefined {
  const planning = new Planning({ ...input, previous: promise }, new Map(), promise);
  const plan = planning.plan();
  const kept = planning.stuck.size === 0 && plan.refusals.length === 0;
  return kept && sameAssignment(plan.assignment, promise) ? plan : undefined;
}

class Planning {
  private readonly occupancy: Occupancy;
  private readonly assigned = new Map<string, GrantedUnit[]>();
  private readonly refusals: DeclaredPlan["refusals"] = [];
  private leftovers: Leftover[] = [];
  private readonly overLimit: string[] = [];
  /** What each user has beside the keys that are not placed yet. */
  private readonly usage = new Map<string, Usage>();

  /** Changed keys that found no place, though others may have been given what they have. */
  readonly stuck = new Map<string, Refusal>();

  constructor(
    private readonly input: DeclaredInput,
    private readonly stayWith: ReadonlyMap<string, Refusal>,
    private readonly promise?: Assignment,
  ) {
    this.occupancy = new Occupancy(input.inventory);
  }

  plan(): DeclaredPlan {
    const { jobs, freed, leftovers, others, twice } = sortOut(this.input);
    this.leftovers = leftovers;
    for (const key of twice) this.refuse(key, declaredTwice(key));
    for (const grant of others) {
      this.occupancy.add(grant.units);
      this.count(grant.user, [grant]);
    }
    const pending = jobs.filter((job) => !this.keepAll(job));
    // What they keep of theirs is taken before anything is placed anew.
    for (const job of pending) this.keepPart(job);
    // A promise may be over what dropped containers still have: it was made so.
    if (this.promise) for (const job of pending) this.settle(job);
    for (const leftover of this.leftovers) this.occupancy.add(leftover.units);
    if (!this.promise) this.place(pending);
    return this.result(jobs, freed);
  }

  private place(pending: Job[]): void {
    for (const job of pending) this.prefer(job);
    // Changed keys first: whoever has something is served before whoever comes.
    const changed = (job: Job) => Number(job.grant !== undefined);
    for (const job of pending.sort((a, b) => changed(b) - changed(a) || hardestFirst(a, b))) this.settle(job);
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
    const promised = this.promise?.[key];
    const wanted = (unit: GrantedUnit) => promised?.some(({ uuid }) => uuid === unit.uuid) ?? true;
    job.keep = grant.units.filter((unit) => fine(unit) && wanted(unit)).slice(0, ask.count);
    this.occupancy.add(job.keep);
    const rest = grant.units.filter((unit) => !job.keep.includes(unit));
    if (grant.container !== undefined && rest.length > 0) this.leftovers.push({ key, units: rest });
  }

  /** The units that the key had by an earlier word, where the ledger knows none and they are free. */
  private prefer(job: Job): void {
    for (const unit of this.input.previous?.[job.key] ?? []) {
      if (job.keep.length >= job.ask.count) return;
      const now = this.again(job, unit);
      if (now) job.keep.push(now);
      if (now) this.occupancy.add([now]);
    }
  }

  /** A unit of an earlier word as it is now; undefined: the job cannot have it. */
  private again({ ask, keep }: Job, unit: GrantedUnit): GrantedUnit | undefined {
    const named = this.occupancy.unit(unit.uuid);
    if (!named || keep.some(({ uuid }) => uuid === unit.uuid)) return undefined;
    const now = unit.shared ? { ...named, shared: true, memoryMiB: unit.memoryMiB } : { ...named };
    if (now.shared && !this.input.allowShared) return undefined;
    return unitMeets(ask, now) && this.occupancy.isFree(now) ? now : undefined;
  }

  /** Just what was promised, or nothing. */
  private redeem(job: Job): Result<GrantedUnit[]> {
    const kept = job.keep;
    this.occupancy.add(kept);
    this.prefer(job);
    this.occupancy.remove(job.keep);
    if (job.keep.length === job.ask.count) return { ok: true, value: job.keep };
    return refuse({ code: "busy", message: "what was promised is not free any more" });
  }

  private settle(job: Job): void {
    const { key, user, ask } = job;
    // `keep` was taken for it; it is counted below as a part of the whole.
    this.occupancy.remove(job.keep);
    const limits = this.input.limitsOf(user);
    const refusal = limits ? overRules(limits, ask, this.usageOf(user)) : unknownUser(user);
    const placed: Result<GrantedUnit[]> = refusal ? refuse(refusal) : this.placeFor(job);
    if (placed.ok) {
      this.occupancy.add(placed.value);
      this.assign(job, placed.value);
    } else if (job.grant) this.stuck.set(key, placed.refusal);
    else this.refuse(key, placed.refusal);
  }

  /** Places what is missing; where nothing is free, over what the containers of dropped keys still have. */
  private placeFor(job: Job): Result<GrantedUnit[]> {
    if (this.promise) return this.redeem(job);
    const { ask, keep } = job;
    const missing: Ask = { ...ask, count: ask.count - keep.length };
    if (missing.count === 0) return { ok: true, value: keep };
    if (ask.pins) missing.pins = ask.pins.filter((pin) => !keep.some(({ uuid }) => uuid === pin));
    this.occupancy.add(keep);
    const vacated: Leftover[] = [];
    const found = this.search(job, missing, vacated);
    for (const { units } of vacated) this.occupancy.add(units);
    this.occupancy.remove(keep);
    if (!found.ok) return refuse(this.named(found.refusal));
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
    const use = this.occupancy.useOf(unit);
    return use !== undefined && !isStray(use, unit);
  }

  private refuse(key: string, refusal: Refusal): void {
    this.refusals.push({ key, refusal });
  }

  /** Whether the leftover is in the way: not of shares that fit beside each other, nor of one that runs already. */
  private isHeld(unit: GrantedUnit, { units }: Leftover, runs: boolean): boolean {
    const there = units.filter(({ uuid }) => uuid === unit.uuid);
    if (!unit.shared || there.some(({ shared }) => !shared)) return there.length > 0;
    const use = this.occupancy.useOf(unit);
    return there.length > 0 && !runs && use !== undefined && use.sharedMiB > use.gpu.memoryMiB;
  }

  private result(jobs: readonly Job[], freed: string[]): DeclaredPlan {
    const plan: DeclaredPlan = {
      assignment: {},
      kept: [],
      added: [],
      moved: [],
      freed,
      refusals: this.refusals.sort((a, b) => compare(a.key, b.key)),
      waits: [],
      overLimit: this.overLimit.sort(),
    };
    for (const { key, before, grant } of jobs) {
      const units = this.assigned.get(key);
      if (!units) continue;
      plan.assignment[key] = units;
      const runs = grant?.container !== undefined && sameUnits(grant.units, units);
      for (const leftover of this.leftovers) {
        const held = units.filter((unit) => this.isHeld(unit, leftover, runs));
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

function declaredTwice(key: string): Refusal {
  return {
    code: "bad-request",
    message: `${key} is declared more than once`,
    allowed: "each key once",
    fix: "give one of them another name",
  };
}
