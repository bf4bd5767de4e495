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
  /** `linux/arm64`; undefined: the engine's own. */
  readonly platform: string | undefined;
  readonly body: ContainerBody;
  /** Networks to connect instead of the default bridge; empty: leave the network mode's. */
  readonly networks: readonly NetworkConnection[];
}

/**
 * @param inputs checked inputs, with defaults.
 * @throws Error if two properties contradict each other in a way that the check cannot see.
 */
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
  const volumes = volumeParts(inputs);
  const body: ContainerBody = {
    Image: str(inputs, "image") ?? "",
    HostConfig: hostConfig(inputs, bindings, volumes),
    ...present({
      Hostname: text(inputs, "hostname"),
      Domainname: text(inputs, "domainname"),
      User: text(inputs, "user"),
      WorkingDir: text(inputs, "workingDir"),
      Env: strings(inputs, "envs"),
      Cmd: strings(inputs, "command"),
      Entrypoint: strings(inputs, "entrypoints"),
      Labels: labelMap(inputs, "labels"),
      Tty: bool(inputs, "tty") || undefined,
      OpenStdin: bool(inputs, "stdinOpen") || undefined,
      StopSignal: text(inputs, "stopSignal"),
      StopTimeout: int(inputs, "stopTimeout") || undefined,
      ExposedPorts: ports.length === 0 ? undefined : exposed,
      Volumes:
        volumes.anonymous.length === 0
          ? undefined
          : Object.fromEntries(volumes.anonymous.map((p) => [p, {}])),
      Healthcheck: healthcheck(sub(inputs, "healthcheck")),
    }),
  };
  return {
    name: str(inputs, "name") ?? "",
    platform: text(inputs, "platform"),
    body,
    networks: objects(inputs, "networksAdvanced").map(networkConnection),
  };
}

/** Resources and restart policy: what `create` and `update` share. */
export function limits(inputs: Props): Record<string, unknown> {
  const swap = int(inputs, "memorySwap") ?? 0;
  const cpus = text(inputs, "cpus");
  return {
    Memory: (int(inputs, "memory") ?? 0) * MIB,
    MemoryReservation: (int(inputs, "memoryReservation") ?? 0) * MIB,
    // -1 means no limit and is no size.
    ...present({ MemorySwap: swap === 0 ? undefined : swap > 0 ? swap * MIB : swap }),
    CpuShares: int(inputs, "cpuShares") ?? 0,
    CpusetCpus: str(inputs, "cpuSet") ?? "",
    // The engine refuses NanoCpus next to a period or a quota; `cpus` wins, as in the official plugin.
    ...(cpus === undefined
      ? present({
          CpuPeriod: int(inputs, "cpuPeriod") || undefined,
          CpuQuota: int(inputs, "cpuQuota") || undefined,
        })
      : {}),
    ...present({
      BlkioDeviceReadBps: rates(inputs, "deviceReadBps"),
      BlkioDeviceReadIOps: rates(inputs, "deviceReadIops"),
      BlkioDeviceWriteBps: rates(inputs, "deviceWriteBps"),
      BlkioDeviceWriteIOps: rates(inputs, "deviceWriteIops"),
    }),
    RestartPolicy: {
      Name: str(inputs, "restart") ?? "no",
      MaximumRetryCount: int(inputs, "maxRetryCount") ?? 0,
    },
  };
}

interface VolumeParts {
  readonly anonymous: readonly string[];
  readonly binds: readonly string[];
  readonly from: readonly string[];
}

function hostConfig(
  inputs: Props,
  bindings: Record<string, object[]>,
  volumes: VolumeParts,
): Record<string, unknown> {
  const security = strings(inputs, "securityOpts") ?? [];
  const unconfinedPaths = security.includes(SYSTEM_PATHS);
  const shm = int(inputs, "shmSize");
  const capabilities = sub(inputs, "capabilities");
  const cpus = text(inputs, "cpus");
  return {
    ...limits(inputs),
    Init: bool(inputs, "init") ?? false,
    NetworkMode: str(inputs, "networkMode") ?? "bridge",
    LogConfig: { Type: str(inputs, "logDriver") ?? "", Config: map(inputs, "logOpts") ?? {} },
    ...present({
      Privileged: bool(inputs, "privileged") || undefined,
      PublishAllPorts: bool(inputs, "publishAllPorts") || undefined,
      AutoRemove: bool(inputs, "rm") || undefined,
      ReadonlyRootfs: bool(inputs, "readOnly") || undefined,
      Runtime: text(inputs, "runtime"),
      Mounts: nonEmpty(objects(inputs, "mounts").map(mount)),
      Binds: nonEmpty(volumes.binds),
      VolumesFrom: nonEmpty(volumes.from),
      Tmpfs: map(inputs, "tmpfs"),
      PortBindings: Object.keys(bindings).length === 0 ? undefined : bindings,
      ExtraHosts: nonEmpty(objects(inputs, "hosts").map((host) => `${str(host, "host")}:${str(host, "ip")}`)),
      Ulimits: nonEmpty(
        objects(inputs, "ulimits").map((limit) => ({
          Name: str(limit, "name"),
          Soft: int(limit, "soft"),
          Hard: int(limit, "hard"),
        })),
      ),
      CapAdd: capabilities && strings(capabilities, "adds"),
      CapDrop: capabilities && strings(capabilities, "drops"),
      SecurityOpt: nonEmpty(security.filter((option) => option !== SYSTEM_PATHS)),
      // Only the client knows this option; to the engine it is two empty lists.
      MaskedPaths: unconfinedPaths ? [] : undefined,
      ReadonlyPaths: unconfinedPaths ? [] : undefined,
      Devices: nonEmpty(objects(inputs, "devices").map(device)),
      DeviceRequests: deviceRequests(inputs),
      Dns: strings(inputs, "dns"),
      DnsOptions: strings(inputs, "dnsOpts"),
      DnsSearch: strings(inputs, "dnsSearches"),
      ShmSize: shm ? shm * MIB : undefined,
      NanoCpus: cpus === undefined ? undefined : Math.round(Number(cpus) * 1e9),
      UsernsMode: text(inputs, "usernsMode"),
      PidMode: text(inputs, "pidMode"),
      IpcMode: text(inputs, "ipcMode"),
      CgroupnsMode: text(inputs, "cgroupnsMode"),
      CgroupParent: text(inputs, "cgroupParent"),
      Sysctls: map(inputs, "sysctls"),
      GroupAdd: strings(inputs, "groupAdds"),
      StorageOpt: map(inputs, "storageOpts"),
    }),
  };
}

/** `docker run --security-opt systempaths=unconfined`. */
export const SYSTEM_PATHS = "systempaths=unconfined";

function mount(entry: Props): Record<string, unknown> {
  const type = str(entry, "type");
  const bind = type === "bind" ? sub(entry, "bindOptions") : undefined;
  const volume = type === "volume" ? sub(entry, "volumeOptions") : undefined;
  const tmpfs = type === "tmpfs" ? sub(entry, "tmpfsOptions") : undefined;
  const driver = volume && { name: text(volume, "driverName"), options: map(volume, "driverOptions") };
  return {
    Type: type,
    Target: str(entry, "target"),
    ...present({
      Source: text(entry, "source"),
      ReadOnly: bool(entry, "readOnly") || undefined,
      BindOptions: bind && present({ Propagation: text(bind, "propagation") }),
      VolumeOptions:
        volume &&
        present({
          NoCopy: bool(volume, "noCopy") || undefined,
          Labels: labelMap(volume, "labels"),
          DriverConfig:
            driver?.name === undefined && driver?.options === undefined
              ? undefined
              : present({ Name: driver.name, Options: driver.options }),
          Subpath: text(volume, "subpath"),
        }),
      TmpfsOptions:
        tmpfs &&
        present({ SizeBytes: int(tmpfs, "sizeBytes") || undefined, Mode: int(tmpfs, "mode") || undefined }),
    }),
  };
}

function volumeParts(inputs: Props): VolumeParts {
  const anonymous: string[] = [];
  const binds: string[] = [];
  const from: string[] = [];
  for (const entry of objects(inputs, "volumes")) {
    const container = text(entry, "fromContainer");
    const path = text(entry, "containerPath");
    const source = text(entry, "hostPath") ?? text(entry, "volumeName");
    if (container !== undefined) from.push(container);
    else if (path !== undefined) {
      anonymous.push(path);
      const relabel = text(entry, "selinuxRelabel");
      const mode = `${bool(entry, "readOnly") ? "ro" : "rw"}${relabel ? `,${relabel}` : ""}`;
      if (source !== undefined) binds.push(`${source}:${path}:${mode}`);
    }
  }
  return { anonymous, binds, from };
}

function device(entry: Props): Record<string, unknown> {
  const host = str(entry, "hostPath");
  return {
    PathOnHost: host,
    PathInContainer: text(entry, "containerPath") ?? host,
    CgroupPermissions: str(entry, "permissions") ?? "rwm",
  };
}

function deviceRequests(inputs: Props): object[] | undefined {
  const gpus = text(inputs, "gpus");
  if (gpus !== undefined) return [gpuRequest(gpus)];
  return nonEmpty(
    objects(inputs, "deviceRequests").map((request) => ({
      Driver: str(request, "driver") ?? "cdi",
      Count: int(request, "count") ?? 0,
      DeviceIDs: strings(request, "deviceIds") ?? [],
      Capabilities: [strings(request, "capabilities") ?? []],
      Options: map(request, "options") ?? {},
    })),
  );
}

/** `all`, a count, or `device=ID,ID`: the values of `docker run --gpus` that Berth has a use for. */
function gpuRequest(value: string): object {
  const trimmed = value.trim().replace(/^(["'])(.*)\1$/, "$2");
  const device = /^"?device=([^"]+)"?$/.exec(trimmed)?.[1];
  if (device !== undefined) return { Count: 0, DeviceIDs: device.split(","), Capabilities: [["gpu"]] };
  return { Count: trimmed === "all" ? -1 : Number(trimmed), Capabilities: [["gpu"]] };
}

/** What {@link gpuRequest} takes. */
export const GPUS = /^\s*["']?(all|[1-9][0-9]*|"?device=[^",\s]+(,[^",\s]+)*"?)["']?\s*$/;

function healthcheck(given: Props | undefined): Record<string, unknown> | undefined {
  if (given === undefined) return undefined;
  return present({
    Test: strings(given, "tests"),
    Interval: nanoseconds(str(given, "interval") ?? "0s"),
    Timeout: nanoseconds(str(given, "timeout") ?? "0s"),
    StartPeriod: nanoseconds(str(given, "startPeriod") ?? "0s"),
    StartInterval: nanoseconds(str(given, "startInterval") ?? "0s") || undefined,
    Retries: int(given, "retries") ?? 0,
  });
}

function networkConnection(entry: Props): NetworkConnection {
  const options = (strings(entry, "driverOpts") ?? []).map((option): [string, string] => {
    const equals = option.indexOf("=");
    return [option.slice(0, equals), option.slice(equals + 1)];
  });
  const ipam = present({
    IPv4Address: text(entry, "ipv4Address"),
    IPv6Address: text(entry, "ipv6Address"),
    LinkLocalIPs: strings(entry, "linkLocalIps"),
  });
  return {
    name: str(entry, "name") ?? "",
    endpoint: present({
      IPAMConfig: Object.keys(ipam).length === 0 ? undefined : ipam,
      Aliases: strings(entry, "aliases"),
      MacAddress: text(entry, "macAddress"),
      DriverOpts: options.length === 0 ? undefined : Object.fromEntries(options),
      GwPriority: int(entry, "gwPriority") || undefined,
    }),
  };
}

function rates(inputs: Props, key: string): object[] | undefined {
  return nonEmpty(objects(inputs, key).map((rate) => ({ Path: str(rate, "path"), Rate: int(rate, "rate") })));
}

function nonEmpty<T>(items: readonly T[]): T[] | undefined {
  return items.length === 0 ? undefined : [...items];
}

function present(bag: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(bag).filter(([, value]) => value !== undefined));
}
