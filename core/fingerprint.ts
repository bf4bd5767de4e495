import { createHash } from "node:crypto";

/**
 * The same for two requests that are the same one: SHA-256, in hex, of what JSON makes of them, in whichever order each object has its
 * keys. It is kept beside idempotency keys, so another form of it would make requests of before look like others. Pure.
 */
export const fingerprintOf = (request: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(sorted(request)))
    .digest("hex");

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)]);
}
