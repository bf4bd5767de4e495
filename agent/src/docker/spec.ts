/**
 * The whole body of a container's creation, from an allow-list. Pure.
 *
 * Nobody but berthd speaks to dockerd, and nothing that a user says reaches it but what is written out here: no host
 * folder, no device, no capability beyond the few, no other runtime, network or namespace.
 */

import type { EffectiveLimits, Grant, GrantedUnit, Limit, Refusal, Result } from "../../../core/gpu";
import { formatSize, parseSize } from "../../../core/limits";
import type { PortRange } from "../config";
import { LABEL } from "./labels";
import { type CreateRequest, malformed } from "./request";
import type { ContainerBody } from "./shapes";

/** What common images need to start as root and become somebody else; none reaches outside the container. */
export const CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "NET_BIND_SERVICE",
  "SETGID",
  "SETUID",
] as const;

export const DEFAULT_PIDS = 4096;
const MIN_MEMORY = 6 * 2 ** 20;
const DEFAULT_STOP_SECONDS = 10;
/** Docker's own rule for names. */
const MAX_NAME = 200;

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
  /** CPUs of the node; undefined: not known. */
  cpus?: number;
  /** Names the creation, so that what is left of it can be found. */
  creation: string;
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
  const name = containerName(request, context);
  if (name.length > MAX_NAME) wrong.push(`name: ${name} is longer than ${MAX_NAME} characters`);
  const ports = publish(request, context, wrong);
  if (wrong.length > 0) return { ok: false, refusal: malformed(wrong) };
  const first = over[0];
  if (first !== undefined)
    return { ok: false, refusal: { ...first, message: over.map(({ message }) => message).join("; ") } };

  const body: ContainerBody = {
    Image: request.image,
    Hostname: (request.name ?? context.creation).slice(0, 63),
    ...(request.command === undefined ? {} : { Cmd: request.command }),
    ...(request.entrypoint === undefined ? {} : { Entrypoint: request.entrypoint }),
    ...(request.run_as === undefined ? {} : { User: request.run_as }),
    ...(request.workdir === undefined ? {} : { WorkingDir: request.workdir }),
    Env: environment(request.env),
    Labels: labels(request, context),
    StopTimeout: request.stop_seconds ?? DEFAULT_STOP_SECONDS,
    Tty: request.tty ?? false,
    OpenStdin: false,
    ...(ports.exposed === undefined ? {} : { ExposedPorts: ports.exposed }),
    HostConfig: {
      CapDrop: ["ALL"],
      CapAdd: [...CAPABILITIES],
      SecurityOpt: ["no-new-privileges"],
      Privileged: false,
      CgroupnsMode: "private",
      IpcMode: "private",
      // Reaps what a program leaves behind.
      Init: true,
      NetworkMode: "bridge",
      ...(ports.bindings === undefined ? {} : { PortBindings: ports.bindings }),
      ...(context.cgroupParent === undefined ? {} : { CgroupParent: context.cgroupParent }),
      DeviceRequests: deviceRequests(context.grant?.units ?? []),
      ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
      // No swap beyond the memory.
      ...(memory === undefined ? {} : { Memory: memory, MemorySwap: memory }),
      ...(shm === undefined ? {} : { ShmSize: shm }),
      PidsLimit: request.pids ?? DEFAULT_PIDS,
      LogConfig: { Type: "local", Config: { "max-size": "10m", "max-file": "3" } },
      // berthd says what runs: one that came back by itself would do so without a grant.
      RestartPolicy: { Name: "no" },
    },
  };
  return { ok: true, value: { name, body } };
}

export function containerName(
  request: CreateRequest,
  context: Pick<SpecContext, "stack" | "creation">,
): string {
  return `berth-${context.stack}-${request.user}-${request.name ?? context.creation}`.toLowerCase();
}

/** By UUID through CDI: an unknown device is refused by dockerd, and a reload of systemd takes none away. */
export function deviceRequests(units: readonly Pick<GrantedUnit, "uuid">[]) {
  if (units.length === 0) return [];
  return [{ Driver: "cdi", DeviceIDs: units.map(({ uuid }) => `nvidia.com/gpu=${uuid}`) }];
}

/** An image may ask NVIDIA's runtime for all GPUs; `void` outranks it, and CDI gives what was granted. */
function environment(env: Readonly<Record<string, string>> = {}): string[] {
  const own = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return ["NVIDIA_VISIBLE_DEVICES=void", ...own.sort()];
}

/** All of them each time, also empty: an image must not bring its own. */
function labels(request: CreateRequest, context: SpecContext): Record<string, string> {
  const { grant } = context;
  return {
    [LABEL.stack]: context.stack,
    [LABEL.component]: "container",
    [LABEL.node]: context.node,
    [LABEL.owner]: request.user,
    [LABEL.grant]: grant?.id ?? "",
    [LABEL.token]: grant === undefined ? "" : String(grant.token),
    [LABEL.gpus]: (grant?.units ?? []).map(({ uuid }) => uuid).join(","),
    [LABEL.share]: (grant?.units ?? []).flatMap((unit) => (unit.shared ? [unit.memoryMiB] : [])).join(","),
    [LABEL.creation]: context.creation,
  };
}

function publish(
  request: CreateRequest,
  { addresses, ports: range }: Pick<SpecContext, "addresses" | "ports">,
  wrong: string[],
) {
  const ports = request.ports ?? [];
  if (ports.length === 0) return {};
  const exposed: Record<string, object> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  const taken = new Set<string>();
  ports.forEach((port, index) => {
    if (!addresses.includes(port.address))
      wrong.push(`ports[${index}].address: ${port.address} is none of ${addresses.join(", ")}`);
    if (port.host < range.start || port.host > range.end)
      wrong.push(
        `ports[${index}].host: ${port.host} is none of ${range.start} to ${range.end} (berth:ports.containers)`,
      );
    const place = `${port.address} ${port.host}/${port.protocol}`;
    if (taken.has(place)) wrong.push(`ports[${index}]: ${place} stands there twice`);
    taken.add(place);
    const inside = `${port.container}/${port.protocol}`;
    exposed[inside] = {};
    bindings[inside] = [...(bindings[inside] ?? []), { HostIp: port.address, HostPort: String(port.host) }];
  });
  return { exposed, bindings };
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
