import { z } from "zod";
import { parseDuration, parseSize } from "./units";

/**
 * The shape of a limits document: `resource-limits.yaml`, `berth:limits` of a stack, `limits.json` on a node.
 * Values stay as people write them (`"0.25h"`, `"32g"`), so a document can be written out again; resolve.ts reads them.
 * A key that is left out says nothing; `null` says "no limit" or "never". Strict: an unknown key is an error.
 */

const said = (allowed: string, fix: string) => ({ params: { allowed, fix } });

const SMALLEST_MEMORY = 8 * 2 ** 20;

const size = (least: number) =>
  z
    .unknown()
    .refine((value) => typeof value === "string" && (parseSize(value) ?? -1) >= least, {
      message: "is not a size",
      ...said(
        `a number and a unit, such as "32g" or "64GiB", from ${least / 2 ** 20}MiB on; null for no limit`,
        'write it with its unit and in quotes, such as "32g"',
      ),
    })
    .transform((value) => value as string);

const duration = z
  .unknown()
  .refine((value) => (typeof value === "string" || value === 0) && parseDuration(value) !== undefined, {
    message: "is not a duration",
    ...said(
      'a number and a unit, such as "0.25h", "30m" or "2h", at most ten years; 0 for at once; null to switch it off',
      'write it with its unit and in quotes, such as "2h"',
    ),
  })
  .transform((value) => value as string | 0);

const number = (least: number, most: number, whole: boolean) =>
  z
    .unknown()
    .refine(
      (value) =>
        typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value)),
      {
        message: whole ? "is not a whole number in its range" : "is not a number in its range",
        ...said(
          `${whole ? "a whole number" : "a number"} from ${least} to ${most}`,
          "write a number without quotes",
        ),
      },
    )
    .transform((value) => value as number);

const flag = z
  .unknown()
  .refine((value) => typeof value === "boolean", {
    message: "is neither true nor false",
    ...said("true or false", "write true or false without quotes"),
  })
  .transform((value) => value as boolean);

/** For all containers of a user, or of a group, together. They become systemd slices. */
const total = z.strictObject({
  max_cpus: number(0.1, 1024, false).nullable().optional(),
  memory: size(SMALLEST_MEMORY).nullable().optional(),
  /** Processes and threads. */
  max_tasks: number(16, 4194304, true).nullable().optional(),
});

const fields = {
  /** GPUs and MIG instances of a user, all together. */
  max_mig_instances: number(0, 4096, true).nullable().optional(),
  max_gpus_per_container: number(0, 256, true).nullable().optional(),
  allow_full_gpu: flag.optional(),
  max_cpus: number(0.1, 1024, false).nullable().optional(),
  memory: size(SMALLEST_MEMORY).nullable().optional(),
  shm_size: size(2 ** 20)
    .nullable()
    .optional(),
  max_containers_per_user: number(0, 10000, true).nullable().optional(),
  idle_timeout: duration.nullable().optional(),
  gpu_hold_after_stop: duration.nullable().optional(),
  container_hold_after_stop: duration.nullable().optional(),
  max_runtime: duration.nullable().optional(),
  /** The larger goes first in the queue, and decides among the groups of one user. */
  priority: number(0, 1000, true).optional(),
  user_total: total.optional(),
};

const rule = z.strictObject(fields);
const text = z.string().min(1).max(64);
const group = z.strictObject({
  ...fields,
  members: z.array(text).optional(),
  total: total.optional(),
});

const share = number(0, 1, false);

/** When people are warned: parts of the limit, from 0 to 1. */
const policies = z.strictObject({
  /** Of `idle_timeout`. */
  idle_warning_at: share.optional(),
  /** Of `max_runtime`. */
  max_runtime_warning_at: share.optional(),
  /** Of the user's GPUs and containers. */
  alert_at: share.optional(),
});

const gpuAllocation = z.strictObject({
  /** False: no GPU is divided. */
  enable_mig: flag.optional(),
  /** What a GPU is divided into where its node does not say. */
  mig_profile: z
    .string()
    .regex(/^\d{1,2}g\.\d{1,3}gb(\+me)?$/, {
      message: "is no MIG profile",
      ...said('a profile such as "1g.10gb" or "2g.20gb"', '"nvidia-smi mig -lgip" lists those of a GPU'),
    })
    .optional(),
});

export const limitsSchema = z.strictObject({
  defaults: rule.optional(),
  groups: z.record(z.string(), group).optional(),
  user_overrides: z.record(z.string(), rule).optional(),
  gpu_allocation: gpuAllocation.optional(),
  policies: policies.optional(),
});

export type LimitsDocument = z.output<typeof limitsSchema>;
/** What `defaults`, a group or an override may say. */
export type LimitsRule = z.output<typeof rule>;
export type LimitsTotal = z.output<typeof total>;

export type LimitField = Exclude<keyof typeof fields, "user_total">;
/** The keys that limit one user, in the order in which they are shown. */
export const limitFields = Object.keys(fields).filter((key) => key !== "user_total") as LimitField[];

export type TotalField = keyof LimitsTotal;
export const totalFields = Object.keys(total.shape) as TotalField[];
