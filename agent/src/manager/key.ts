/** What two requests have alike that are the same one. Pure. */
import { createHash } from "node:crypto";
import type { Key } from "./once";
import type { ClaimRequest, ManagedRequest } from "./request";

/** Undefined: the request has none. */
export function keyFor(
  kind: "create" | "claim",
  { idempotency_key: key, ...request }: ManagedRequest | ClaimRequest,
  { owner }: { owner: string },
): Key | undefined {
  if (key === undefined) return undefined;
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([kind, sorted(request)]))
    .digest("hex");
  return { account: `tenant:${owner}`, key, fingerprint };
}

/** With the keys of each object in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)]);
}
