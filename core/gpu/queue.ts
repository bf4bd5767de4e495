/** Who is next when there is not enough for all. Pure: the service reserves for `nextAdmissible`, and asks again. */
import { askWords, unitMeets } from "./asks";
import { reserve } from "./ledger";
import type { Ctx, LedgerState } from "./ledger-types";
import type { Ask, Grant, GrantedUnit, Inventory, Refusal } from "./model";

/** A request that waits. */
export interface Waiting {
  id: string;
  user: string;
  group: string;
  /** The larger goes first, within its group. */
  priority: number;
  ask: Ask;
  purpose: string;
  /** Milliseconds since the epoch. */
  since: number;
  /** When it gives up. */
  deadline?: number;
  /** Containers that the user has now, for `max_containers_per_user`. Left out: those that hold a grant. */
  containers?: number;
}

/**
 * How long a request lets smaller ones overtake it. After that it goes first, and nothing that it could use is given to
 * those behind it.
 */
const PATIENCE_MS = 600_000;

/**
 * The fair order: those whose patience is over, the oldest first; then by turns, always the group with the least granted
 * memory, what its requests ahead will take included; within a group by priority, then by age.
 */
export function queueOrder(
  waiting: readonly Waiting[],
  live: Iterable<Grant>,
  ctx: { now: number; inventory?: Inventory },
): Waiting[] {
  const granted = new Map<string, number>();
  const add = (group: string, memory: number) => granted.set(group, (granted.get(group) ?? 0) + memory);
  const weigh = weights(ctx.inventory);
  for (const { group, units } of live) for (const { memoryMiB } of units) add(group, weigh(memoryMiB));
  const order: Waiting[] = [];
  const take = (next: Waiting) => {
    order.push(next);
    add(next.group, askedMiB(next.ask, ctx.inventory));
  };
  for (const one of waiting.filter((each) => isDue(each, ctx.now)).sort(byAge)) take(one);
  const groups = new Map<string, Waiting[]>();
  for (const one of waiting) {
    if (isDue(one, ctx.now)) continue;
    groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
  }
  const lines = [...groups].map(([group, line]) => ({
    group,
    line: line.sort((a, b) => b.priority - a.priority || byAge(a, b)),
  }));
  for (;;) {
    const heads = lines.flatMap(({ group, line }) => (line[0] ? [{ group, line, head: line[0] }] : []));
    heads.sort(
      (a, b) =>
        (granted.get(a.group) ?? 0) - (granted.get(b.group) ?? 0) ||
        b.head.priority - a.head.priority ||
        byAge(a.head, b.head),
    );
    const [next] = heads;
    if (!next) return order;
    next.line.shift();
    take(next.head);
  }
}

/**
 * The first of the queue that can be granted now. Small requests may overtake a large one for which there is no room,
 * until its patience is over.
 */
export function nextAdmissible(
  state: LedgerState,
  ctx: Ctx,
  waiting: readonly Waiting[],
): Waiting | undefined {
  return survey(state, ctx, waiting).find(({ now }) => now)?.waiting;
}

export interface QueueEntry {
  waiting: Waiting;
  /** From 1. */
  position: number;
  /** Why it waits, for people; no other user's name is in it. */
  reason: string;
}

export function queueView(state: LedgerState, ctx: Ctx, waiting: readonly Waiting[]): QueueEntry[] {
  return survey(state, ctx, waiting).map(({ waiting: one, reason }, at) => ({
    waiting: one,
    position: at + 1,
    reason,
  }));
}

interface Surveyed {
  waiting: Waiting;
  now: boolean;
  reason: string;
}

function survey(state: LedgerState, ctx: Ctx, waiting: readonly Waiting[]): Surveyed[] {
  const blockers: Waiting[] = [];
  const order = queueOrder(waiting, state.grants.values(), { now: ctx.now, inventory: state.inventory });
  return order.map((one): Surveyed => {
    const { user, ask, purpose, containers } = one;
    const decision = reserve(state, ctx, { user, ask, purpose, containers });
    if (!decision.ok) {
      // A user's own limit is no reason to hold others back.
      if (decision.refusal.code === "busy" && isDue(one, ctx.now)) blockers.push(one);
      return { waiting: one, now: false, reason: reasonOf(decision.refusal) };
    }
    const blocker = blockers.find((each) => couldUse(each.ask, decision.value.units, state.inventory));
    if (!blocker) return { waiting: one, now: true, reason: "next: there is room" };
    const minutes = Math.floor((ctx.now - blocker.since) / 60_000);
    const reason = `kept free for ${askWords(blocker.ask)}, asked for ${minutes} minutes ago`;
    return { waiting: one, now: false, reason };
  });
}

function reasonOf({ code, message, rule }: Refusal): string {
  return `${code}: ${message}${rule === undefined ? "" : ` (${rule})`}`;
}

/** Whether any of the units is (on) something that the ask could be granted. */
function couldUse(ask: Ask, units: readonly GrantedUnit[], inventory: Inventory): boolean {
  return units.some((unit) => {
    if (unit.uuid !== unit.gpu) return unitMeets(ask, unit);
    const gpu = inventory.gpus.find(({ uuid }) => uuid === unit.gpu);
    if (!gpu || ask.kind === "mig") return false;
    const whole = { ...unit, shared: false, memoryMiB: gpu.memoryMiB };
    return unitMeets({ ...ask, kind: "gpu" }, whole);
  });
}

/** What counts for a unit among groups: its memory; of one whose memory nobody knows, that of the node's largest GPU. */
function weights(inventory: Inventory | undefined): (memoryMiB: number) => number {
  const largest = Math.max(1, ...(inventory?.gpus ?? []).map(({ memoryMiB }) => memoryMiB));
  return (memoryMiB) => (memoryMiB > 0 ? memoryMiB : largest);
}

function askedMiB(ask: Ask, inventory: Inventory | undefined): number {
  const weigh = weights(inventory);
  if (ask.kind === "share") return ask.memoryMiB ?? 0;
  const sizes = (inventory?.gpus ?? []).flatMap(({ mig, memoryMiB, instances }) => {
    if (ask.kind === "gpu") return mig ? [] : [memoryMiB];
    return instances
      .filter(({ profile }) => ask.profile === undefined || ask.profile === profile)
      .map((one) => one.memoryMiB);
  });
  const enough = sizes.filter((size) => size >= (ask.memoryMiB ?? 0)).map(weigh);
  return ask.count * (enough.length > 0 ? Math.min(...enough) : (ask.memoryMiB ?? 1));
}

const isDue = ({ since }: Waiting, now: number): boolean => now - since >= PATIENCE_MS;

function byAge(a: Waiting, b: Waiting): number {
  return a.since - b.since || (a.id < b.id ? -1 : 1);
}
