import { renameSync } from "node:fs";
import * as z from "zod";
import type { Inventory } from "../../../core/gpu";
import { issueTexts } from "../../../core/problems";
import { readIfThere, replaceFile } from "../files";

const gpu = z.object({
  uuid: z.string(),
  index: z.number(),
  model: z.string(),
  memoryMiB: z.number(),
  mig: z.boolean(),
  instances: z.array(
    z.object({
      uuid: z.string(),
      profile: z.string(),
      memoryMiB: z.number(),
      gi: z.number(),
      ci: z.number(),
    }),
  ),
  profiles: z.record(z.string(), z.number()).optional(),
  nvlink: z.array(z.string()),
});
const memorySchema = z.object({
  version: z.literal(1),
  source: z.enum(["nvidia-smi", "declared", "none"]),
  driver: z.string().optional(),
  /** Known GPUs with their addresses. */
  gpus: z.array(z.object({ gpu, pci: z.string() })),
  /** Out of use, by UUID. */
  quarantine: z.record(z.string(), z.object({ reason: z.string(), since: z.number() })),
  /** When the operator put a GPU back, by UUID: older lines of the kernel log do not count. */
  cleared: z.record(z.string(), z.number()),
  /** Up to where the kernel log is read. */
  cursor: z.string().optional(),
});

/** What the watch must still know after a restart. */
export type Remembered = z.infer<typeof memorySchema>;

export const emptyMemory = (source: Inventory["source"] = "none"): Remembered => ({
  version: 1,
  source,
  gpus: [],
  quarantine: {},
  cleared: {},
});

/** Keeps what a watch remembers. */
export interface WatchMemory {
  /** Undefined: nothing yet. `problem`: something was there, and could not be used. */
  load(): { remembered?: Remembered; problem?: string };
  save(remembered: Remembered): void;
}

/** In a JSON file; one that cannot be read is moved to `<path>.bad`. */
export function fileMemory(path: string): WatchMemory {
  return {
    load() {
      const text = readIfThere(path);
      if (text === undefined) return {};
      try {
        return { remembered: memorySchema.parse(JSON.parse(text)) };
      } catch (error) {
        renameSync(path, `${path}.bad`);
        const said = error instanceof z.ZodError ? issueTexts(error).join("; ") : String(error);
        return {
          problem: `${path} cannot be read and is now ${path}.bad; quarantines are forgotten: ${said}`,
        };
      }
    },
    save: (remembered) => replaceFile(path, `${JSON.stringify(remembered)}\n`, 0o600),
  };
}
