/** What the ledger's decisions are told of the world outside of it. */
import { randomUUID } from "node:crypto";
import type { Ctx } from "../../../core/gpu";
import type { LedgerOptions } from "./options";

/** An id of a grant or of a wish. Ids sort by time, so that the newest are side by side in the database. */
export const idAt = (kind: "g" | "q", now: number) => `${kind}${now.toString(36)}${randomUUID().slice(0, 8)}`;

/** The world as it is now: the time, the grants that are over, the limits, and what the stack says of the node. */
export function contextOf(options: Pick<LedgerOptions, "limits" | "node" | "store">, now: number): Ctx {
  const { strategy, allocation, memoryLimitMiB, reserveSeconds } = options.node();
  const { grants } = options.store.tables;
  return {
    now,
    newId: () => idAt("g", now),
    wasGiven: (id, token) => grants.has(id, token),
    wasDeclared: (key) => grants.hadKey(key),
    limitsOf: (user) => options.limits.of(user),
    strategy,
    allowShared: allocation === "shared",
    ...(memoryLimitMiB !== undefined && { shareLimitMiB: memoryLimitMiB }),
    reserveSeconds,
  };
}
