import { z } from "zod";
import { parseSize as anySize } from "../agent/src/limits/units";

/** Values that the parts of the schema share. */

/** A limits document takes Docker's letters (`32g`) too. */
const SIZE = /^(\d+(?:\.\d+)?)\s?(KiB|MiB|GiB|TiB|MB|GB|TB)$/;

/** `"8GiB"` to bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  return SIZE.test(text.trim()) ? anySize(text) : undefined;
}

export const size = z.string().transform((text, context) => {
  const bytes = parseSize(text);
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
