/** What a tenant may ask for, and what that means on this node. Pure. */
import { z } from "zod";
import { type Ask, askSchema, plainText, type Result, refuse } from "../../../core/gpu";
import { parseSize } from "../../../core/limits";
import {
  environmentSchema,
  imageAllowed,
  imageText,
  type Need,
  needOf,
  type OwnImage,
  parseImageName,
  type Template,
} from "../../../core/manager";
import { CONTAINER_NAME } from "../../../core/names";
import type { ManagerConfig } from "../config";
import { noTemplate } from "./refusals";

const MiB = 2 ** 20;
/** Less does not hold a shell and what it runs. */
const LEAST_MIB = 8;
const MOST_MIB = 2 ** 24;
const MOST_PORTS = 16;
const DEFAULT_PORTS = [3000];
/** Of a container whose request and template say nothing else. */
export const usualNeed: Need = needOf({ memory: "512MiB", cpus: 1, pids: 4096 });

const number = z.int().min(1).max(65_535);
const protocol = z.enum(["tcp", "udp"]);

const ports = z
  .array(z.union([number, z.strictObject({ container: number, protocol: protocol.default("tcp") })]))
  .max(MOST_PORTS)
  .refine((list) => new Set(list.map(insideOf)).size === list.length, "names a port twice")
  .meta({ description: "Ports of the container; the node chooses its own for them." });

const memory = z
  .union([
    z.int().min(LEAST_MIB).max(MOST_MIB),
    z
      .string()
      .max(32)
      .refine((text) => {
        const bytes = parseSize(text) ?? 0;
        return bytes >= LEAST_MIB * MiB && bytes <= MOST_MIB * MiB;
      }, 'is no size from 8MiB on: a number of MiB, or one with a unit, such as "512MiB"'),
  ])
  .meta({ description: "MiB, or a size such as `512MiB`." });

const shared = {
  env: environmentSchema.optional(),
  /** The same key of a tenant gives the same container for a day, however often it is sent. */
  idempotency_key: plainText(128).optional(),
};
const templateName = z.string().regex(CONTAINER_NAME, "is no name of a template");

/** The body of a tenant's `POST /api/containers`. */
export const managedSchema = z.strictObject({
  /** For people. */
  name: plainText(128),
  image: z.string().min(1).max(512).optional(),
  ports: ports.optional(),
  /** The tenant's own volume of that name. */
  volumeName: z
    .string()
    .regex(
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/,
      "is no name of a volume: letters, digits, '_', '.' and '-', at most 100",
    )
    .optional(),
  /** The tenant keeps it for later; only shown. */
  pool: z.boolean().default(false),
  memory: memory.optional(),
  cpus: z.number().min(0.01).max(4096).optional(),
  gpus: askSchema.optional(),
  template: templateName.optional(),
  ...shared,
});

/** The body of `POST /api/containers/claim`. */
export const claimSchema = z.strictObject({
  /** Default: the node's only one. */
  template: templateName.optional(),
  /** For people. Default: its id. */
  name: plainText(128).optional(),
  ...shared,
});

export type ManagedRequest = z.output<typeof managedSchema>;
export type ClaimRequest = z.output<typeof claimSchema>;

/** A container to be, with everything decided but its ports on the node. */
export interface Wanted extends Need {
  name?: string;
  /** As Docker takes it: a name, or the id of an image of the tenant's own. */
  image: string;
  ports: { container: number; protocol: "tcp" | "udp" }[];
  env?: Record<string, string>;
  volumeName?: string;
  gpus?: Ask;
  pool: boolean;
  /** One of the pool of this template does as well. */
  template?: Template;
}

function insideOf(port: number | { container: number }): number {
  return typeof port === "number" ? port : port.container;
}

const portOf = (port: number | { container: number; protocol: "tcp" | "udp" }) =>
  typeof port === "number" ? { container: port, protocol: "tcp" as const } : { ...port };

const mebibytes = (size: string | number) =>
  typeof size === "number" ? size : Math.ceil((parseSize(size) ?? 0) / MiB);

/** One spelling for each image. */
export function spelled(image: string): string {
  const name = parseImageName(image);
  return name.ok ? imageText(name.value) : image;
}

/** The images that tenants may name, beside their own. */
export const patternsOf = ({ images, templates }: ManagerConfig): string[] => [
  ...new Set([...images.allowed, images.default, ...templates.map(({ image }) => image)]),
];

/** Those of them that are named whole, in one spelling. */
export const namedBy = (config: ManagerConfig | undefined): string[] =>
  config === undefined
    ? []
    : patternsOf(config)
        .filter((pattern) => !pattern.endsWith("*"))
        .map(spelled);

export function wantedOf(
  request: ManagedRequest,
  config: ManagerConfig,
  ownImages: readonly OwnImage[],
): Result<Wanted> {
  const named = request.template === undefined ? undefined : find(config, request.template);
  if (named?.ok === false) return named;
  const template = named?.value;
  const image = imageAllowed(request.image ?? template?.image ?? config.images.default, {
    patterns: patternsOf(config),
    ownImages,
  });
  if (!image.ok) return image;
  const need = template === undefined ? usualNeed : needOf(template);
  const wanted: Wanted = {
    name: request.name,
    image: image.value,
    ...need,
    ...(request.memory !== undefined && { memoryMiB: mebibytes(request.memory) }),
    ...(request.cpus !== undefined && { cpus: request.cpus }),
    ports: (request.ports ?? template?.containerPorts ?? DEFAULT_PORTS).map(portOf),
    ...(request.env !== undefined && { env: request.env }),
    ...(request.volumeName !== undefined && { volumeName: request.volumeName }),
    ...gpusOf(request.gpus ?? template?.gpus),
    pool: request.pool,
  };
  const pooled = (template === undefined ? config.templates : [template]).find((one) => isSame(wanted, one));
  return { ok: true, value: { ...wanted, ...(pooled !== undefined && { template: pooled }) } };
}

/** A container of a template, as a claim has it. */
export function wantedOfTemplate(template: Template, request: Partial<ClaimRequest> = {}): Wanted {
  return {
    ...needOf(template),
    ...(request.name !== undefined && { name: request.name }),
    image: spelled(template.image),
    ports: template.containerPorts.map(portOf),
    ...(request.env !== undefined && { env: request.env }),
    ...gpusOf(template.gpus),
    pool: false,
    template,
  };
}

export function templateFor(name: string | undefined, config: ManagerConfig): Result<Template> {
  if (name !== undefined) return find(config, name);
  const [only, ...others] = config.templates;
  return only === undefined || others.length > 0
    ? refuse(noTemplate(undefined, namesOf(config)))
    : { ok: true, value: only };
}

const namesOf = ({ templates }: ManagerConfig) => templates.map(({ name }) => name);

function find(config: ManagerConfig, name: string): Result<Template> {
  const template = config.templates.find((one) => one.name === name);
  return template === undefined ? refuse(noTemplate(name, namesOf(config))) : { ok: true, value: template };
}

const gpusOf = (gpus: z.output<typeof askSchema> | undefined) =>
  gpus === undefined ? {} : { gpus: gpus as Ask };

/** Whether one of the template's pool is what is wanted: its environment comes with what is run in it. */
function isSame(
  { image, memoryMiB, cpus, ports: wanted, volumeName, gpus }: Wanted,
  template: Template,
): boolean {
  const need = needOf(template);
  const inside = wanted.map((port) => (port.protocol === "tcp" ? port.container : 0));
  return (
    image === spelled(template.image) &&
    memoryMiB === need.memoryMiB &&
    cpus === need.cpus &&
    JSON.stringify(inside) === JSON.stringify(template.containerPorts) &&
    volumeName === undefined &&
    gpus === undefined &&
    template.gpus === undefined
  );
}
