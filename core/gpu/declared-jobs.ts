import { unitMeets } from "./asks";
import type {
  Ask,
  Assignment,
  DeclaredGrant,
  EffectiveLimits,
  Grant,
  GrantedUnit,
  Inventory,
  Strategy,
} from "./model";
import { clashing } from "./trouble";

export interface DeclaredInput {
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

/** Units that the stack takes back, while a container still has them. */
export interface Leftover {
  key: string;
  units: GrantedUnit[];
}

export interface Job {
  key: string;
  user: string;
  ask: Ask;
  /** The grant that the key has now. */
  grant?: Grant;
  /** What it has, or had, of what is asked for. */
  keep: GrantedUnit[];
  before: GrantedUnit[];
}

/** What is declared, beside what the ledger has. */
export interface Sorted {
  jobs: Job[];
  /** Keys that are not declared any more. */
  freed: string[];
  leftovers: Leftover[];
  /** Grants that the stack has nothing to do with. */
  others: Grant[];
  /** Keys that are declared more than once. */
  twice: string[];
}

/** What stays, what goes, what is to be placed. */
export function sortOut({ grants, declared, previous, inventory }: DeclaredInput): Sorted {
  const { wanted, twice } = unique(declared);
  const freed = new Set<string>();
  const byKey = new Map<string, Grant>();
  const others: Grant[] = [];
  const dropped: Grant[] = [];
  /** Who has units by right, or is in them: a dropped grant comes back only beside them. */
  const holders: Grant[] = [];
  const leftovers: Leftover[] = [];
  const leave = ({ key, container, units }: Grant) => {
    if (key !== undefined && container !== undefined) leftovers.push({ key, units });
  };
  for (const grant of [...grants].sort((a, b) => a.token - b.token)) {
    if (grant.key === undefined) others.push(grant);
    else if (grant.dropped) dropped.push(grant);
    else if (wanted.has(grant.key)) {
      const earlier = byKey.get(grant.key);
      if (earlier) leave(earlier);
      byKey.set(grant.key, grant);
    } else {
      freed.add(grant.key);
      leave(grant);
      if (grant.container === undefined) continue;
    }
    if (!grant.dropped) holders.push(grant);
  }
  const memory = new Map(inventory.gpus.map(({ uuid, memoryMiB }) => [uuid, memoryMiB]));
  const taken = (unit: GrantedUnit) => clashing(unit, holders, memory.get(unit.gpu) ?? 0).length > 0;
  for (const grant of dropped) {
    const again = byKey.has(grant.key ?? "") ? undefined : wanted.get(grant.key ?? "");
    // Declared again before its container went: it simply stays, unless somebody else was promised its units since.
    if (again && again.user === grant.user && fits(again.ask, grant.units) && !grant.units.some(taken)) {
      byKey.set(again.key, grant);
      holders.push(grant);
    } else leave(grant);
  }
  for (const key of Object.keys(previous ?? {})) if (!wanted.has(key)) freed.add(key);
  const jobs = [...wanted.values()].map(({ key, user, ask }): Job => {
    const grant = byKey.get(key);
    return { key, user, ask, grant, keep: [], before: grant?.units ?? previous?.[key] ?? [] };
  });
  return {
    jobs: jobs.sort((a, b) => compare(a.key, b.key)),
    freed: [...freed].sort(),
    leftovers: leftovers.sort((a, b) => compare(a.key, b.key)),
    others,
    twice,
  };
}

function unique(declared: readonly DeclaredGrant[]): { wanted: Map<string, DeclaredGrant>; twice: string[] } {
  const wanted = new Map<string, DeclaredGrant>();
  const twice = new Set<string>();
  for (const one of declared) {
    if (wanted.has(one.key)) twice.add(one.key);
    wanted.set(one.key, one);
  }
  for (const key of twice) wanted.delete(key);
  return { wanted, twice: [...twice].sort() };
}

/** Whether the units are what is asked for, all of it and no more. */
export function fits(ask: Ask, units: readonly GrantedUnit[]): boolean {
  return units.length === ask.count && units.every((unit) => unitMeets(ask, unit));
}

/** Those with the least choice first, so that the others do not take it from them. */
export function hardestFirst(a: Job, b: Job): number {
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

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sameUnits(a: readonly GrantedUnit[], b: readonly GrantedUnit[]): boolean {
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
