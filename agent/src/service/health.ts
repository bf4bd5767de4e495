import type { Gpu, Grant } from "../../../core/gpu";
import type { Health } from "./types";

export interface HealthInput {
  /** A user, who is told nothing of others; undefined: an operator, who is told all. */
  viewer: string | undefined;
  /** Why nothing new is granted. */
  closed: string | undefined;
  /** What is wrong with the limits on disk. */
  limits: string | undefined;
  others: readonly (string | undefined)[];
  gpus: readonly Gpu[];
  grants: Iterable<Grant>;
}

/** What is wrong, each once. Pure. */
export function healthOf({ viewer, closed, limits, others, gpus, grants }: HealthInput): Health {
  const reasons = [
    closed,
    viewer === undefined || limits === undefined
      ? limits
      : "the limits document on disk is not in force; the last good one is",
    ...others,
    ...gpus.flatMap(({ index, uuid, quarantined }) =>
      quarantined === undefined ? [] : [`GPU ${index} (${uuid}) is quarantined: ${quarantined}`],
    ),
    ...[...grants].flatMap(({ id, user, reason }) =>
      reason === undefined || (viewer !== undefined && viewer !== user) ? [] : [`grant ${id}: ${reason}`],
    ),
  ].filter((reason) => reason !== undefined);
  return { status: reasons.length === 0 ? "ok" : "degraded", reasons: [...new Set(reasons)] };
}
