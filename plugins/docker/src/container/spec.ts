/** From a container's inputs to what the Engine API takes. Pure. */
import type { Props } from "@berth/plugin-base";
import { bool, int, map, objects, str, strings, sub, text } from "@berth/plugin-base/bridged";
import { labelMap } from "../labels";
import { nanoseconds } from "./duration";

const MIB = 1024 * 1024;

/** Body of `POST /containers/create`. Loose on purpose: the API grows by the version, and dockerode's types lag. */
export interface ContainerBody {
  Image: string;
  HostConfig: Record<string, unknown>;
  [key: string]: unknown;
}

export interface NetworkConnection {
  readonly name: string;
  readonly endpoint: Record<string, unknown>;
}

export interface ContainerSpec {
  readonly name: string;
  readonly body: ContainerBody;
  /** Networks to connect instead of the default bridge; empty: leave the network mode's. */
  readonly networks: readonly NetworkConnection[];
}

/** @param inputs checked inputs, with defaults. */
export function containerSpec(inputs: Props): ContainerSpec {
  const ports = objects(inputs, "ports");
  const exposed: Record<string, object> = {};
  const bindings: Record<string, object[]> = {};
  for (const port of ports) {
    const key = `${int(port, "internal")}/${str(port, "protocol") ?? "tcp"}`;
    exposed[key] = {};
    const external = int(port, "external");
    // The engine picks a free port for "0" and for "".
    const binding = { HostIp: str(port, "ip") ?? "0.0.0.0", HostPort: external ? String(external) : "0" };
    bindings[key] = [...(bindings[key] ?? []), binding];
  }
  const body: ContainerBody = {
    Image: str(inputs, "image") ?? "",
    HostConfig: hostConfig(inputs, bindings),
    ...present({
      Hostname: text(inputs, "hostname"),
      User: text(inputs, "user"),
      WorkingDir: text(inputs, "workingDir"),
      Env: strings(inputs, "envs"),
      Entrypoint: strings(inputs, "entrypoints"),
      Cmd: strings(inputs, "command"),
      Tty: bool(inputs, "tty") || undefined,
      Labels: labelMap(inputs, "labels"),
      StopSignal: text(inputs, "stopSignal"),
      StopTimeout: int(inputs, "stopTimeout") || undefined,
      ExposedPorts: ports.length === 0 ? undefined : exposed,
      Healthcheck: healthcheck(sub(inputs, "healthcheck")),
    }),
  };
  return {
    name: str(inputs, "name") ?? "",
    body,
    networks: objects(inputs, "networksAdvanced").map(networkConnection),
  };
}

/** Resources and restart policy: what `create` and `update` share. */
export function limits(inputs: Props): Record<string, unknown> {
  const swap = int(inputs, "memorySwap") ?? 0;
  return {
    Memory: (int(inputs, "memory") ?? 0) * MIB,
    MemoryReservation: (int(inputs, "memoryReservation") ?? 0) * MIB,
    // -1 means no limit and is no size.
    ...present({ MemorySwap: swap === 0 ? undefined : swap > 0 ? swap * MIB : swap }),
    RestartPolicy: {
      Name: str(inputs, "restart") ?? "no",
      MaximumRetryCount: 0,
    },
  };
}

function hostConfig(inputs: Props, bindings: Record<string, object[]>): Record<string, unknown> {
  const security = strings(inputs, "securityOpts") ?? [];
  const unconfinedPaths = security.includes(SYSTEM_PATHS);
  const shm = int(inputs, "shmSize");
  const capabilities = sub(inputs, "capabilities");
  const cpus = text(inputs, "cpus");
  return {
    ...limits(inputs),
    // Absent, the daemon's own setting would decide.
    Init: bool(inputs, "init") ?? false,
    NetworkMode: str(inputs, "networkMode") ?? "bridge",
    LogConfig: { Type: str(inputs, "logDriver") ?? "", Config: map(inputs, "logOpts") ?? {} },
    ...present({
      Privileged: bool(inputs, "privileged") || undefined,
      Mounts: nonEmpty(objects(inputs, "mounts").map(mount)),
      Tmpfs: map(inputs, "tmpfs"),
      PortBindings: Object.keys(bindings).length === 0 ? undefined : bindings,
      CapAdd: capabilities && strings(capabilities, "adds"),
      CapDrop: capabilities && strings(capabilities, "drops"),
      SecurityOpt: nonEmpty(security.filter((option) => option !== SYSTEM_PATHS)),
      // Only the client knows this option; to the engine it is two empty lists.
      MaskedPaths: unconfinedPaths ? [] : undefined,
      ReadonlyPaths: unconfinedPaths ? [] : undefined,
      Devices: nonEmpty(objects(inputs, "devices").map(device)),
      DeviceRequests: nonEmpty(objects(inputs, "deviceRequests").map(deviceRequest)),
      ShmSize: shm ? shm * MIB : undefined,
      NanoCpus: cpus === undefined ? undefined : Math.round(Number(cpus) * 1e9),
      IpcMode: text(inputs, "ipcMode"),
      CgroupnsMode: text(inputs, "cgroupnsMode"),
      CgroupParent: text(inputs, "cgroupParent"),
    }),
  };
}

/** `docker run --security-opt systempaths=unconfined`. */
export const SYSTEM_PATHS = "systempaths=unconfined";

function mount(entry: Props): Record<string, unknown> {
  return {
    Type: str(entry, "type"),
    Target: str(entry, "target"),
    ...present({ Source: text(entry, "source"), ReadOnly: bool(entry, "readOnly") || undefined }),
  };
}

function device(entry: Props): Record<string, unknown> {
  const host = str(entry, "hostPath");
  return {
    PathOnHost: host,
    PathInContainer: text(entry, "containerPath") ?? host,
    CgroupPermissions: str(entry, "permissions") ?? "rwm",
  };
}

function deviceRequest(entry: Props): Record<string, unknown> {
  return {
    Driver: str(entry, "driver") ?? "cdi",
    Count: 0,
    DeviceIDs: strings(entry, "deviceIds") ?? [],
    Capabilities: [[]],
    Options: {},
  };
}

function healthcheck(given: Props | undefined): Record<string, unknown> | undefined {
  if (given === undefined) return undefined;
  return present({
    Test: strings(given, "tests"),
    Interval: nanoseconds(str(given, "interval") ?? "0s"),
    Timeout: nanoseconds(str(given, "timeout") ?? "0s"),
    StartPeriod: nanoseconds(str(given, "startPeriod") ?? "0s"),
    Retries: int(given, "retries") ?? 0,
  });
}

function networkConnection(entry: Props): NetworkConnection {
  const address = text(entry, "ipv4Address");
  return {
    name: str(entry, "name") ?? "",
    endpoint: address === undefined ? {} : { IPAMConfig: { IPv4Address: address } },
  };
}

function nonEmpty<T>(items: readonly T[]): T[] | undefined {
  return items.length === 0 ? undefined : [...items];
}

function present(bag: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(bag).filter(([, value]) => value !== undefined));
}
