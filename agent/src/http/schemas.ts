import { z } from "zod";
import { askSchema, MOST_UNITS, plainText, strategySchema } from "../../../core/gpu";

/**
 * What the API takes and gives. Bodies are strict: an unknown key is refused. Times in milliseconds since the epoch,
 * memory in MiB, durations in seconds.
 */

const text = plainText;
const uuid = z.string().min(1).max(128);
const time = z.number().int();

export const ask = askSchema;

const unitMemory = z.number().describe("0: the driver does not say.");

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

export const health = z.object({ status: z.enum(["ok", "degraded"]), reasons: z.array(z.string()) });
export const heldBack = z.object({
  containers: z.array(
    z.object({
      container: z.string(),
      name: z.string(),
      user: z.string(),
      why: z.string(),
      next: time.optional(),
    }),
  ),
});
export const ready = z.object({ ready: z.boolean(), reason: z.string().optional() });
export const whoami = z.object({
  role: z.enum(["admin", "user", "service"]),
  user: z.string().optional(),
  /** As events name the caller. */
  actor: z.string(),
});

const holder = z.object({
  /** Left out for somebody else's grant, as are `user` and `key`. */
  grant: z.string().optional(),
  user: z.string().optional(),
  key: z.string().optional(),
  mine: z.boolean(),
  state: grantState,
  /** The instance that is held; the GPU's own UUID for all of it or a share. */
  unit: z.string(),
  memoryMiB: z.number(),
});

const instance = z.object({
  uuid,
  profile: z.string(),
  memoryMiB: unitMemory,
  gi: z.int(),
  ci: z.int(),
});

const gpu = z.object({
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

const source = z.enum(["nvidia-smi", "declared", "none"]);

export const inventory = z.object({ source, driver: z.string().optional(), gpus: z.array(gpu) });

export const gpus = z.object({
  source,
  driver: z.string().optional(),
  /** Why nothing new is granted. */
  closed: z.string().optional(),
  gpus: z.array(
    gpu.extend({
      /** Percent; null where the driver does not tell. */
      utilisation: z.number().nullable().optional(),
      memoryUsedMiB: z.number().nullable().optional(),
      holders: z.array(holder),
    }),
  ),
});

export const grants = z.object({ grants: z.array(grant) });
export const grantQuery = z.strictObject({ user: text(64).optional(), state: grantState.optional() });

export const grantBody = z.strictObject({
  /** Default: the caller. */
  user: text(64).optional(),
  ask,
  purpose: text(256).default("not said"),
  wait_seconds: z.int().min(0).max(86_400).default(0),
  idempotency_key: text(128).optional(),
  /** Containers that the user has now, with and without GPUs; left out: as many as hold a grant. */
  containers: z.int().min(0).max(100_000).optional(),
});

export const releaseQuery = z.strictObject({
  reason: text(256).optional(),
  /** Also while a container has it: for whoever has stopped that container. Admin and service alone. */
  force: z.enum(["true", "false"]).optional(),
});

export const bindBody = z.strictObject({
  token: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  container: text(128),
});

export const gpuParams = z.strictObject({ uuid });
export const quarantineBody = z.strictObject({ reason: text(200) });
export const quarantined = z.object({ uuid, quarantined: z.string().optional() });
export const idParams = z.strictObject({ id: text(128) });
export const userParams = z.strictObject({ user: text(64) });

export const queueEntry = z.object({
  id: z.string(),
  /** Left out for somebody else's wish, as is `purpose`. */
  user: z.string().optional(),
  mine: z.boolean(),
  group: z.string(),
  ask: shownAsk,
  purpose: z.string().optional(),
  position: z.int(),
  since: time,
  deadline: time,
  reason: refusal,
  idempotency_key: z
    .string()
    .nullable()
    .describe("The request's own; null: there is none, or another caller sent it."),
});
export const queue = z.object({ queue: z.array(queueEntry) });
export const cancelled = z.object({ id: z.string() });

/** What many users ask for at a time has to fit into berthd's memory. */
export const longestUserPage = 200;
const wholeNumber = z.string().regex(/^\d{1,16}$/);
export const historyQuery = z.strictObject({
  user: text(64).optional(),
  limit: z
    .string()
    .regex(/^([1-9]\d{0,2}|1000)$/)
    .optional()
    .describe(
      `Default 100, at most 1000; a user gets at most ${longestUserPage} a page, and the next with before.`,
    ),
  before: wholeNumber.optional().describe("Only grants with a smaller token: for the next page."),
});

const limit = <T extends z.ZodType>(value: T) => z.object({ value, rule: z.string() });
const amount = limit(z.number().nullable());
export const limits = z.object({
  user: z.string(),
  group: z.string(),
  max_mig_instances: amount,
  max_gpus_per_container: amount,
  allow_full_gpu: limit(z.boolean()),
  max_cpus: amount,
  memory: amount,
  shm_size: amount,
  max_containers_per_user: amount,
  idle_timeout: amount,
  gpu_hold_after_stop: amount,
  container_hold_after_stop: amount,
  max_runtime: amount,
  priority: limit(z.number()),
});
const limitValue = z.union([z.number(), z.boolean(), z.null()]);
export const explainedLimits = limits.extend({
  explain: z.array(
    z.object({
      field: z.string(),
      value: limitValue,
      text: z.string(),
      rule: z.string(),
      overrides: z.array(
        z.object({ rule: z.string(), value: limitValue, text: z.string(), why: z.string() }),
      ),
    }),
  ),
});
export const limitsList = z.object({
  users: z.array(limits),
  /** Set: the document on disk is not the one in force. */
  problem: z.string().optional(),
});
export const checkBody = z.strictObject({ user: text(64).optional(), ask });
export const checked = z.object({
  granted: z.boolean(),
  /** What would be granted now. */
  units: z.array(unit).optional(),
  refusal: refusal.optional(),
});

export const roles = ["admin", "user", "service"] as const;
export const tokenBody = z.strictObject({
  role: z.enum(roles),
  /** For role `user`: whose grants it may touch. */
  owner: text(64).optional(),
  name: text(128).optional(),
  /** Default: never. */
  expires_in_seconds: z
    .int()
    .min(1)
    .max(10 * 366 * 86_400)
    .optional(),
});
export const token = z.object({
  id: z.string(),
  name: z.string().optional(),
  role: z.enum(roles),
  owner: z.string().optional(),
  createdAt: time,
  expiresAt: time.optional(),
  revokedAt: time.optional(),
  lastUsedAt: time.optional(),
});
export const tokens = z.object({ tokens: z.array(token) });
export const tokenMade = token.extend({
  /** Shown this once: only its hash is kept. */
  token: z.string(),
});

const declared = z.array(z.strictObject({ key: text(200), user: text(64), ask })).max(10_000);
const expectedUnit = z.strictObject(unit.shape);
const assignment = z.record(z.string(), z.array(unit));
export const planBody = z.strictObject({ declared });
export const declaredBody = z.strictObject({
  declared,
  expect: z.record(text(200), z.array(expectedUnit).max(MOST_UNITS)).optional(),
});
export const declaredPlan = z.object({
  assignment,
  kept: z.array(z.string()),
  added: z.array(z.string()),
  moved: z.array(z.object({ key: z.string(), from: z.array(unit), to: z.array(unit) })),
  freed: z.array(z.string()),
  refusals: z.array(z.object({ key: z.string(), refusal })),
  waits: z.array(z.object({ key: z.string(), units: z.array(unit), heldBy: z.string() })),
  overLimit: z.array(z.string()),
});
export const declaredGrants = z.object({
  assignment,
  inventory,
  grants: z.array(grant),
  closed: z.string().optional(),
});

export const created = z.object({ id: z.string(), name: z.string(), grant: grant.optional() });
export const removed = z.object({ id: z.string() });
