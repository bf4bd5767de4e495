import type { GpuUse } from "./gpu-use";
import type { Strategy } from "./model";

/**
 * Chooses whole GPUs among those that are free. Several: from one NVLink group where one is large enough, the
 * smallest such group, so that larger ones stay together; else from as few groups as it takes, of one model if it can
 * be. One: the GPU with the fewest free neighbours, for the same reason; `spread` takes the first.
 */
export function pickWhole(uses: readonly GpuUse[], count: number, strategy: Strategy): GpuUse[] | undefined {
  if (uses.length < count) return undefined;
  const free = new Set(uses);
  if (count === 1) {
    if (strategy === "spread") return uses.slice(0, 1);
    const best = least(uses, (use) => use.neighbours.reduce((sum, one) => sum + (free.has(one) ? 1 : 0), 0));
    return best && [best];
  }
  const groups = linkedGroups(uses, free);
  const enough = groups.filter(({ length }) => length >= count);
  const group = least(enough, ({ length }) => length);
  if (group) return pickLinked(group, count);
  const models = new Map<string, number>();
  for (const { model } of uses) models.set(model, (models.get(model) ?? 0) + 1);
  const one = uses.find(({ model }) => (models.get(model) ?? 0) >= count);
  const usable = one ? groups.filter(([first]) => first?.model === one.model) : groups;
  // Groups of one model cannot be short: NVLink joins GPUs of one model, and `one` counted them.
  const largest = [...usable].sort((a, b) => b.length - a.length || order(a) - order(b));
  const chosen: GpuUse[] = [];
  for (const each of largest) {
    const missing = count - chosen.length;
    if (missing === 0) break;
    chosen.push(...(each.length <= missing ? each : pickLinked(each, missing)));
  }
  return chosen.length === count ? inOrder(chosen) : inOrder(uses.slice(0, count));
}

/** Connected groups among the free ones, each in the node's order. */
function linkedGroups(uses: readonly GpuUse[], free: ReadonlySet<GpuUse>): GpuUse[][] {
  const seen = new Set<GpuUse>();
  const groups: GpuUse[][] = [];
  for (const use of uses) {
    if (seen.has(use)) continue;
    seen.add(use);
    const group = [use];
    for (let at = 0; at < group.length; at += 1) {
      for (const next of group[at]?.neighbours ?? []) {
        if (!free.has(next) || seen.has(next)) continue;
        seen.add(next);
        group.push(next);
      }
    }
    groups.push(inOrder(group));
  }
  return groups;
}

/** Beginnings that are tried in a group that is not linked all to all. */
const TRIES = 32;

/** The `count` of a group with the most links among them; equal ones in the node's order. */
function pickLinked(group: readonly GpuUse[], count: number): GpuUse[] {
  const inside = new Set(group);
  const links = (use: GpuUse, among: ReadonlySet<GpuUse>) =>
    use.neighbours.reduce((sum, one) => sum + (among.has(one) ? 1 : 0), 0);
  if (group.every((use) => links(use, inside) === group.length - 1)) return group.slice(0, count);
  let best: { uses: GpuUse[]; links: number } | undefined;
  for (const start of group.slice(0, TRIES)) {
    const chosen = new Set([start]);
    let total = 0;
    while (chosen.size < count) {
      let next: { use: GpuUse; links: number } | undefined;
      for (const use of group) {
        if (chosen.has(use)) continue;
        const n = links(use, chosen);
        if (!next || n > next.links) next = { use, links: n };
      }
      if (!next) break;
      chosen.add(next.use);
      total += next.links;
    }
    if (chosen.size === count && (!best || total > best.links)) best = { uses: [...chosen], links: total };
  }
  return inOrder(best?.uses ?? group.slice(0, count));
}

function least<T>(items: readonly T[], size: (item: T) => number): T | undefined {
  let best: { item: T; size: number } | undefined;
  for (const item of items) {
    const n = size(item);
    if (!best || n < best.size) best = { item, size: n };
  }
  return best?.item;
}

const order = (group: readonly GpuUse[]) => group[0]?.order ?? 0;
const inOrder = (uses: readonly GpuUse[]) => [...uses].sort((a, b) => a.order - b.order);
