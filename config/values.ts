import { z } from "zod";
import { parseSize as anySize, formatSize } from "../core/limits";

/** Values that the parts of the schema share. */

/** A limits document takes Docker's letters (`32g`) too. */
const SIZE = /^(\d+(?:\.\d+)?)\s?(KiB|MiB|GiB|TiB|MB|GB|TB)$/;

/** `"8GiB"` to bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  return SIZE.test(text.trim()) ? anySize(text) : undefined;
}

/** Bytes as the stack's file writes them: `8GiB`, `500GB`; what is neither, in MiB with what is behind the point. */
export function sizeText(bytes: number): string {
  const whole = formatSize(bytes);
  if (!whole.endsWith(" bytes")) return whole;
  for (const [unit, factor] of [
    ["TB", 1e12],
    ["GB", 1e9],
    ["MB", 1e6],
  ] as const)
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  return `${Math.round((bytes / 2 ** 20) * 100) / 100}MiB`;
}

/** In bytes. What is no text is told by the rule of sizes too: a bare number lacks its unit. */
export const size = z.unknown().transform((value, context) => {
  const bytes = typeof value === "string" ? parseSize(value) : undefined;
  if (bytes === undefined || bytes <= 0) {
    context.addIssue({
      code: "custom",
      message: "is not a size",
      params: { allowed: 'a number and a unit, such as "512MiB" or "8GiB"' },
    });
    return z.NEVER;
  }
  return bytes;
});

export const port = z.int().min(1).max(65535);
export const range = z.strictObject({ start: port, end: port });
export const cpus = z.number().min(0.1).max(1024);
export const text = z.string().min(1).max(4096);
/** A public key's line. A file's line break comes along when it is pasted whole, and says nothing. */
export const publicKey = z.string().trim().min(1).max(4096);
