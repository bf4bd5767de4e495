import { z } from "zod";
import { askSchema, MOST_GPUS, strategySchema } from "../../core/gpu";
import { defaultLimitsDocument, type LimitsDocument, parseLimits } from "../../core/limits";
import { size, text } from "../values";

/**
 * Shape of what concerns GPUs and limits: `berth:gpu`, `berth:limits`, a node's declared GPUs and what a user's workspace
 * asks for. What one means for another is checked in check.ts.
 */

export const gpu = z.strictObject({
  /** Where a GPU is chosen: the one with the least granted, the fullest that fits, or one GPU each. */
  strategy: strategySchema.default("least-allocated"),
  /** `shared`: a GPU's memory may be granted in shares, beside whole GPUs and instances. */
  allocation: z.enum(["exclusive", "shared"]).default("exclusive"),
  /** The most of a GPU's memory that one share may have; 0: no limit. */
  memoryLimit: z.union([z.literal(0), size], '0, or a size such as "16GiB"').default(0),
});

/**
 * The limits document, as on a node; every problem of it at once. Each of its parts (`defaults`, `groups`…) that the
 * stack writes wins whole, one that it leaves out is the built-in one: the rule of all the stack's inheritance
 * (inherit.ts). Else the first limit that somebody writes would take the groups away.
 */
export const limitsDocument = z
  .unknown()
  .transform((value, context): LimitsDocument => {
    const parsed = parseLimits(value);
    if (parsed.ok) return { ...defaultLimitsDocument, ...parsed.document };
    for (const { steps, problem, allowed, fix } of parsed.problems)
      context.addIssue({
        code: "custom",
        path: steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step)),
        message: problem,
        params: { allowed: `${allowed} (${fix})` },
      });
    return z.NEVER;
  })
  .default(defaultLimitsDocument);

/** The stand-in keeps it in lines and in rows cut at `|`, and replaces `@…@` by figures: none of these may be in it. */
const gpuModel = z
  .string()
  .trim()
  .min(1)
  .max(80)
  .refine((name) => /^[\x20-?A-{}~]*$/.test(name), {
    message: "has characters that no GPU's name has",
    params: { allowed: 'printable ASCII without @ and |, such as "NVIDIA H100 80GB HBM3"' },
  });

/** GPUs that a node is said to have. They stand in for its driver: the node is granted from them, and from no other. */
export const nodeGpus = z.array(
  z.strictObject({
    /** As nvidia-smi names it, such as `NVIDIA H100 80GB HBM3`. */
    model: gpuModel,
    memory: size,
    count: z.int().min(1).max(MOST_GPUS).default(1),
    /** MIG instances of each; false: never divided; left out: as `gpu_allocation` of the limits says. */
    mig: z
      .union(
        [z.literal(false), z.array(text), z.record(z.string(), z.int().min(1).max(8))],
        'false, a list such as ["1g.10gb", "1g.10gb"], or instances by profile such as { "1g.10gb": 7 }',
      )
      .optional(),
    /** True: the GPUs of this entry reach each other over NVLink. */
    nvlink: z.boolean().default(false),
  }),
);

/** As everybody asks for GPUs; here memory is a size: of a share what is wanted, of GPUs and instances the least of each. */
export const userGpu = askSchema.omit({ memoryMiB: true }).extend({ memory: size.optional() });

export type GpuConfig = z.output<typeof gpu>;
export type NodeGpuConfig = z.output<typeof nodeGpus>[number];
export type UserGpuConfig = z.output<typeof userGpu>;
