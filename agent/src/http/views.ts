import type { Grant, Inventory } from "../../../core/gpu";
import type { QueueEntry } from "../service";
import type { Identity } from "./identity";
import type { GpuFigures } from "./types";

/** True: the caller may see whose it is. */
function sees(identity: Identity, user: string): boolean {
  return identity.role !== "user" || identity.user === user;
}

/** The GPUs with their holders; a user sees somebody else's as taken, and not by whom. */
export function gpusView(
  { source, driver, gpus }: Inventory,
  live: Iterable<Grant>,
  figures: readonly GpuFigures[],
  identity: Identity,
  closed: string | undefined,
) {
  const byGpu = new Map<string, object[]>();
  for (const grant of live) {
    for (const unit of grant.units) {
      const common = {
        mine: identity.user === grant.user,
        state: grant.state,
        unit: unit.uuid,
        memoryMiB: unit.memoryMiB,
      };
      const holder = sees(identity, grant.user)
        ? { grant: grant.id, user: grant.user, ...(grant.key !== undefined && { key: grant.key }), ...common }
        : common;
      const there = byGpu.get(unit.gpu);
      if (there) there.push(holder);
      else byGpu.set(unit.gpu, [holder]);
    }
  }
  const measured = new Map(figures.map((one) => [one.uuid, one]));
  return {
    source,
    ...(driver !== undefined && { driver }),
    ...(closed !== undefined && { closed }),
    gpus: gpus.map((gpu) => {
      const now = measured.get(gpu.uuid);
      return {
        ...gpu,
        ...(now && { utilisation: now.utilisation, memoryUsedMiB: now.memoryUsedMiB }),
        holders: byGpu.get(gpu.uuid) ?? [],
      };
    }),
  };
}

/**
 * The queue; of somebody else's request a user sees what is asked for, for that is what the user waits behind. A key
 * is shown only to the caller who sent it.
 */
export function queueView(entries: readonly QueueEntry[], identity: Identity) {
  return {
    queue: entries.map(({ user, purpose, reason, actor, idempotencyKey, ...rest }) => {
      const mine = identity.user === user;
      const common = { ...rest, mine, idempotency_key: (actor === identity.actor && idempotencyKey) || null };
      if (sees(identity, user)) return { ...common, user, purpose, reason };
      return { ...common, reason: { code: reason.code, message: "It waits." } };
    }),
  };
}
