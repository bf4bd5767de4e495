import { z } from "zod";
import { userGpu } from "../gpu/schema";
import { cpus, size, text } from "../values";

/** Shape of `berth:ray`, and of what Ray has on a node. Checked in check.ts. */

export const ray = z
  .strictObject({
    /** False: the stack has no Ray at all. */
    enabled: z.boolean().default(true),
    /**
     * The users who have Ray's token: with it, each runs programs as the one account of Ray's, and reads and stops what
     * the others run there. Left out: all users. Empty: nobody.
     */
    access: z.array(text).optional(),
    /** Memory of each Ray container; a share of the node's when left out. */
    memory: size.optional(),
    /** CPUs that each node offers to Ray; all of the node's when left out. */
    cpus: cpus.optional(),
  })
  .default({ enabled: true });

/** What Ray has on a node besides CPUs and memory. */
export const nodeRay = z.strictObject({
  /** GPUs for its tasks; none when left out. */
  gpu: userGpu.optional(),
});
