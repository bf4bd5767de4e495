import { z } from "zod";
import { askSchema, plainText, strategySchema } from "../../../core/gpu";

/**
 * What the API takes and gives. Bodies are strict: an unknown key is refused. Times in milliseconds since the epoch,
 * memory in MiB, durations in seconds.
 */

export const text = plainText;
export const uuid = z.string().min(1).max(128);
export const time = z.number().int();

export const ask = askSchema;

export const unitMemory = z.number().describe("0: the driver does not say.");
export const unit = z.object({
  uuid,
  gpu: uuid,
  name: z.string(),
  model: z.string(),
  memoryMiB: unitMemory,
  profile: z.string().optional(),
  shared: z.boolean(),
});

export const shownAsk = z.object({
  kind: z.enum(["gpu", "mig", "share"]),
  count: z.int(),
  profile: z.string().optional(),
  model: z.string().optional(),
  memoryMiB: z.number().optional(),
  strategy: strategySchema.optional(),
  pins: z.array(z.string()).optional(),
});

export const grantState = z.enum(["reserved", "bound", "held", "released"]);

export const grant = z.object({
  id: z.string(),
  token: z.int(),
  user: z.string(),
  group: z.string(),
  ask: shownAsk,
  units: z.array(unit),
  state: grantState,
  purpose: z.string(),
  key: z.string().optional(),
  dropped: z.boolean().optional(),
  container: z.string().optional(),
  createdAt: time,
  reservedUntil: time.optional(),
  boundAt: time.optional(),
  awaitedUntil: time.optional(),
  stoppedAt: time.optional(),
  heldUntil: time.nullable().optional(),
  releasedAt: time.optional(),
  reason: z.string().optional(),
});

export const refusalCodes = [
  "bad-request",
  "unknown-user",
  "unknown-profile",
  "over-limit",
  "not-allowed",
  "busy",
  "full",
  "impossible",
  "closed",
  "conflict",
  "not-found",
] as const;

export const refusal = z.object({
  code: z.enum(refusalCodes),
  message: z.string(),
  allowed: z.string().optional(),
  fix: z.string().optional(),
  rule: z.string().optional(),
});

export const failure = z.object({ error: refusal });
export const instance = z.object({
  uuid,
  profile: z.string(),
  memoryMiB: unitMemory,
  gi: z.int(),
  ci: z.int(),
});

export const gpu = z.object({
  uuid,
  index: z.int(),
  model: z.string(),
  memoryMiB: unitMemory,
  mig: z.boolean(),
  instances: z.array(instance),
  profiles: z
    .record(z.string(), z.int())
    .optional()
    .describe("MIG profiles that its driver offers, with how many of each fit alone."),
  nvlink: z.array(uuid),
  quarantined: z.string().optional(),
});

export const source = z.enum(["nvidia-smi", "declared", "none"]);
export const inventory = z.object({ source, driver: z.string().optional(), gpus: z.array(gpu) });
export const idParams = z.strictObject({ id: text(128) });

export const roles = ["admin", "user", "service", "tenant"] as const;
