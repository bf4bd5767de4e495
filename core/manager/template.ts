/** A template: a named kind of container, and how many of it stand ready. Pure. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { askSchema } from "../gpu";
import { parseSize } from "../limits";
import { CONTAINER_NAME } from "../names";
import { argumentSchema } from "../text";
import type { Need } from "./capacity";
import { isImage } from "./image-names";
import { MOST_WARM, scheduleSchema, timeZoneSchema } from "./schedule";

const MiB = 2 ** 20;

/** Less does not hold a shell and what it runs. */
const SMALLEST_MEMORY = 8 * MiB;

/** What a new container is expected to write before the free disk is measured again. */
const DISK_MIB = 1024;

const memory = z
  .string()
  .max(32)
  .refine(
    (text) => (parseSize(text) ?? 0) >= SMALLEST_MEMORY,
    'is no size from 8MiB on: a number and a unit, such as "512MiB" or "2g"',
  )
  .meta({ description: "A size such as `512MiB`." });

const ports = z
  .array(z.int().min(1).max(65_535))
  .max(64)
  .refine((list) => new Set(list).size === list.length, "names a port twice");

const health = z.strictObject({
  /** A program and its arguments, run in the container; when it ends with 0, the container is ready. */
  command: z.array(argumentSchema).min(1).max(64),
  /** From the container's start. A container that is not ready by then is removed. */
  timeoutSeconds: z.int().min(1).max(3600).default(60),
});

const fields = z.strictObject({
  name: z.string().regex(CONTAINER_NAME, "is no name: lower-case letters, digits and '-', at most 40"),
  image: z
    .string()
    .refine(isImage, "is no name of an image, such as node:24-slim, and no whole id of one (sha256:…)"),
  memory: memory.default("512MiB"),
  cpus: z.number().min(0.01).max(4096).default(1),
  /** Processes and threads. */
  pids: z.int().min(1).max(32_768).default(4096),
  /** Each gets a port of the node; the first is the container's `hostPort`. */
  containerPorts: ports.default([3000]),
  /** Containers that the pool keeps ready. */
  targetSize: z.int().min(0).max(MOST_WARM).default(3),
  /** When fewer are ready, new ones are made before other work of the node. */
  minSize: z.int().min(0).max(MOST_WARM).default(1),
  /** The most containers that are being made or warm up at a time. */
  maxCreating: z.int().min(1).max(64).default(2),
  /** Left out: a container is ready as soon as it runs. */
  health: health.optional(),
  /** A ready container that is older is replaced. Left out: none is replaced for its age. */
  ttlSeconds: z
    .int()
    .min(60)
    .max(10 * 365 * 86_400)
    .optional(),
  schedule: scheduleSchema.default([]),
  timeZone: timeZoneSchema.default("UTC"),
  /** GPUs that a container is granted when a tenant claims it. A container in the pool has none. */
  gpus: askSchema.optional(),
});

/** The largest target at any time; at least 1, so that the default `minSize` is allowed for a pool that keeps none. */
const largest = ({ targetSize, schedule }: z.output<typeof fields>) =>
  Math.max(1, targetSize, ...schedule.map((entry) => entry.targetSize));

/** One template, with its defaults filled in. An unknown key is an error. */
export const templateSchema = fields.superRefine((template, context) => {
  const most = largest(template);
  if (template.minSize > most)
    context.addIssue({
      code: "custom",
      path: ["minSize"],
      message: `is ${template.minSize}, and the pool never keeps more than ${most}: lower it, or raise targetSize`,
    });
});

/** All templates of a node, each with a name of its own. */
export const templatesSchema = z
  .array(templateSchema)
  .max(64)
  .superRefine((templates, context) => {
    for (const [i, { name }] of templates.entries()) {
      const twin = templates.findIndex((one) => one.name === name);
      if (twin < i)
        context.addIssue({ code: "custom", path: [i, "name"], message: `is the name of [${twin}] too` });
    }
  });

export type Template = z.output<typeof templateSchema>;

/**
 * Identifies the version of a template that a container is made from. It changes with what makes the container another one,
 * and not with the sizes, schedule and times of the pool.
 *
 * @param image the id of the template's image, as a tag may be moved to another image. @default its name
 * @returns 16 hexadecimal digits
 */
export function templateHash(template: Template, image: string = template.image): string {
  const { cpus, pids, containerPorts, health, gpus } = template;
  const made = [image, parseSize(template.memory), cpus, pids, containerPorts, health?.command, askKey(gpus)];
  return createHash("sha256").update(JSON.stringify(made)).digest("hex").slice(0, 16);
}

/** An ask with its keys in one order. */
const askKey = (ask: Template["gpus"]) => ask && Object.entries(ask).sort(([a], [b]) => (a < b ? -1 : 1));

/** What one container of a template takes of its node at most. */
export function needOf({ memory, cpus, pids }: Pick<Template, "memory" | "cpus" | "pids">): Need {
  return { memoryMiB: Math.ceil((parseSize(memory) ?? 0) / MiB), cpus, pids, diskMiB: DISK_MIB };
}
