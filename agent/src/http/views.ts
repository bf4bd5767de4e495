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

/** The queue; of somebody else's wish a user sees what is asked for, for that is what it waits behind. */
export function queueView(entries: readonly QueueEntry[], identity: Identity) {
  return {
    queue: entries.map(({ user, purpose, reason, ...rest }) => {
      const mine = identity.user === user;
      if (sees(identity, user)) return { ...rest, user, purpose, mine, reason };
      return { ...rest, mine, reason: { code: reason.code, message: "It waits." } };
    }),
  };
}
