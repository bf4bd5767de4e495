import * as z from "zod";
import { strategies } from "./model";

/** The most GPUs that a node may declare: more than any machine has, and no more than there are PCI buses for. */
export const MOST_GPUS = 64;

/** The most units of one ask: a GPU is divided into eight instances at most, so that no node has more. */
export const MOST_UNITS = MOST_GPUS * 8;

export const strategySchema = z.enum(strategies);

/** Text for people and labels, without control characters. Written so that every dialect of patterns reads it alike. */
export const plainText = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
    .regex(/^[^\x00-\x1f\x7f]*$/, "text without control characters");

/** What somebody asks for: `Ask` in JSON, its count 1 when left out. What its parts mean for each other says `askProblems`. */
export const askSchema = z.strictObject({
  kind: z.enum(["gpu", "mig", "share"]),
  count: z.int().min(1).max(MOST_UNITS).default(1),
  profile: plainText(64).optional(),
  model: plainText(128).optional(),
  memoryMiB: z
    .int()
    .min(1)
    .max(2 ** 31)
    .optional(),
  strategy: strategySchema.optional(),
  pins: z.array(plainText(128)).min(1).max(MOST_UNITS).optional(),
});
