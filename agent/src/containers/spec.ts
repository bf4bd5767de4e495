/**
 * The whole body of a container's creation, from an allow-list. Pure.
 *
 * Nobody but berthd speaks to dockerd, and nothing that a user says reaches it but what is written out here: no host
 * folder, no device, no capability beyond the few, no other runtime, network or namespace.
 */

import {
  type ContainerBody,
  type ContainerSpec,
  CREATED_NETWORK,
  cdiDevice,
  createdName,
  engineBody,
  environment,
  LABEL,
  MAX_CONTAINER_NAME,
  type Mount,
  unitLabels,
  variables,
} from "../../../core/containers";
import {
  type EffectiveLimits,
  type Grant,
  type Limit,
  type Refusal,
  type Result,
  refuse,
} from "../../../core/gpu";
import { formatSize, parseSize } from "../../../core/limits";
import type { PortRange } from "../../../core/net";
import { type CreateRequest, malformed } from "./request";

const MIN_MEMORY = 6 * 2 ** 20;
/** Between TERM and KILL. */
export const DEFAULT_STOP_SECONDS = 10;

export interface SpecContext {
  stack: string;
  node: string;
  limits: EffectiveLimits;
  /** Parent of the container's cgroup: the user's slice. Undefined: dockerd's own. */
  cgroupParent?: string;
  /** Addresses that ports may be published on. */
  addresses: readonly string[];
  /** Host ports that they may be published on: the others are Berth's own, Ray's and the users'. */
  ports: PortRange;
  /** Whether one of these is another container's, also while that is stopped. @default none is */
  isTaken?(port: number): boolean;
  /** @default none */
  mounts?: readonly Mount[];
  /** CPUs of the node; undefined: not known. */
  cpus?: number;
  /** On this node, by id or digest. */
  image: string;
  /** Names the creation, so that what is left of it can be found. */
  creation: string;
  /** Whose name those of the container and its host begin with. @default the request's user */
  namedAfter?: string;
  /** Undefined: no GPU was asked for. */
  grant?: Pick<Grant, "id" | "token" | "units">;
}

export interface Spec {
  name: string;
  body: ContainerBody;
}

/** @returns what is wrong (all of it), or what goes over which limit. */
export function containerSpec(request: CreateRequest, context: SpecContext): Result<Spec> {
  const { limits } = context;
  const wrong: string[] = [];
  const over: Refusal[] = [];
  const within = <T extends number>(field: "max_cpus" | "memory" | "shm_size", asked: T | undefined) => {
    const limit: Limit<number | null> = limits[field];
    if (asked !== undefined && limit.value !== null && asked > limit.value)
      over.push(overLimit(field, asked, limit.value, limits));
    return asked ?? limit.value ?? undefined;
  };
  const most = context.cpus ?? Number.POSITIVE_INFINITY;
  if (request.cpus !== undefined && request.cpus > most) over.push(overNode(request.cpus, most, limits.user));
  const allowed = within("max_cpus", request.cpus);
  // The limit may be made for larger nodes than this one.
  const cpus = allowed === undefined ? undefined : Math.min(allowed, most);
  const memory = within("memory", bytes(request.memory));
  const shm = within("shm_size", bytes(request.shm));
  if (memory !== undefined && memory < MIN_MEMORY)
    wrong.push(`memory: ${formatSize(memory)} is less than the ${formatSize(MIN_MEMORY)} that Docker takes`);
  const own = request.name ?? context.creation;
  const { namedAfter = request.user } = context;
  const name = createdName(context.stack, namedAfter, own);
  if (name.length > MAX_CONTAINER_NAME)
    wrong.push(`name: ${name} is longer than ${MAX_CONTAINER_NAME} characters`);
  wrong.push(...portProblems(request, context));
  if (wrong.length > 0) return refuse(malformed(wrong));
  const first = over[0];
  if (first !== undefined)
    return refuse({ ...first, message: over.map(({ message }) => message).join("; ") });

  const { grant } = context;
  const spec: ContainerSpec = {
    kind: "created",
    name,
    image: context.image,
    hostname: hostname(namedAfter, own),
    command: request.command,
    entrypoint: request.entrypoint,
    user: request.run_as,
    workdir: request.workdir,
    tty: request.tty,
    env: [...environment(), ...variables(request.env ?? {}).sort()],
    owner: { stack: context.stack, owner: request.user, node: context.node },
    // Also the empty ones: an image must not bring its own.
    labels: {
      [LABEL.grant]: grant?.id ?? "",
      [LABEL.token]: grant === undefined ? "" : String(grant.token),
      ...unitLabels(grant?.units ?? []),
      [LABEL.creation]: context.creation,
    },
    devices: grant?.units.map(cdiDevice),
    cgroupParent: context.cgroupParent,
    cpus,
    memoryBytes: memory,
    shmBytes: shm,
    pids: request.pids,
    ports: request.ports,
    mounts: context.mounts,
    network: { name: CREATED_NETWORK.name },
    stopSeconds: request.stop_seconds ?? DEFAULT_STOP_SECONDS,
  };
  return { ok: true, value: { name, body: engineBody(spec) } };
}

/**
 * `<user>-<name>`, at most 63 characters. Docker's name server answers it to every container of the network, so no word that a
 * person chooses alone: it could be the name of a service that others look for.
 */
const hostname = (user: string, name: string) =>
  `${user}-${name}`.replaceAll("_", "-").slice(0, 63).replace(/-+$/, "");

/** What is wrong with the ports that a request wants to publish. */
function portProblems(
  { ports = [] }: CreateRequest,
  { addresses, ports: range, isTaken }: Pick<SpecContext, "addresses" | "ports" | "isTaken">,
): string[] {
  const taken = new Set<string>();
  return ports.flatMap(({ address, host, protocol }, index) => {
    const wrong: string[] = [];
    if (!addresses.includes(address))
      wrong.push(`ports[${index}].address: ${address} is none of ${addresses.join(", ")}`);
    if (host < range.start || host > range.end)
      wrong.push(
        `ports[${index}].host: ${host} is none of ${range.start} to ${range.end} (berth:ports.containers)`,
      );
    if (isTaken?.(host)) wrong.push(`ports[${index}].host: ${host} is another container's`);
    const place = `${address} ${host}/${protocol}`;
    if (taken.has(place)) wrong.push(`ports[${index}]: ${place} stands there twice`);
    taken.add(place);
    return wrong;
  });
}

function overLimit(
  field: "max_cpus" | "memory" | "shm_size",
  asked: number,
  limit: number,
  limits: EffectiveLimits,
): Refusal {
  const show = (value: number) => (field === "max_cpus" ? `${value} CPUs` : formatSize(value));
  const rule = `${limits[field].rule}.${field}`;
  return {
    code: "over-limit",
    message: `${limits.user} asks for ${show(asked)}, and ${rule} allows ${show(limit)}`,
    allowed: `at most ${show(limit)}`,
    fix: `ask for less, or raise ${rule}`,
    rule,
  };
}

const overNode = (asked: number, cpus: number, user: string): Refusal => ({
  code: "impossible",
  message: `${user} asks for ${asked} CPUs, and this node has ${cpus}`,
  allowed: `at most ${cpus} CPUs`,
  fix: "ask for less, or leave cpus out",
});

const bytes = (text: string | undefined) => (text === undefined ? undefined : parseSize(text));
