import { z } from "zod";

/** Values that the parts of the schema share. */

const units: Record<string, number> = {
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
const SIZE = /^(\d+(?:\.\d+)?)\s?(KiB|MiB|GiB|TiB|MB|GB|TB)$/;

/** `"8GiB"` to bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (!match) return undefined;
  const bytes = Number(match[1]) * (units[match[2] as string] as number);
  return Number.isSafeInteger(Math.floor(bytes)) ? Math.floor(bytes) : undefined;
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
