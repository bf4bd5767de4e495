/**
 * From the engine's description of a container to the resource's outputs, in the shapes of the official
 * plugin's. Pure.
 */
import type { Props, Value } from "@berth/plugin-base";
import { bool, type Field, objects, plainProps, sameValue, str, strings } from "@berth/plugin-base/bridged";
import { labelList } from "../labels";
import { goDuration } from "./duration";
import { hasProcess, type Inspect, type Mount, type Rate, runs } from "./inspect";
import { containerFields, containerMeta } from "./schema";
import { SYSTEM_PATHS } from "./spec";

const MIB = 1024 * 1024;

/** What the engine does not keep: the plugin's own settings and the content of uploads come from the program or the state. */
const KEPT = [
  "attach",
  "cgroupParent",
  "cgroupnsMode",
  "containerLogs",
  "containerReadRefreshTimeoutMilliseconds",
  "cpuPeriod",
  "cpuQuota",
  "destroyGraceSeconds",
  "envs",
  "labels",
  "logs",
  "networksAdvanced",
  "removeVolumes",
  "start",
  "uploads",
  "volumes",
  "wait",
  "waitTimeout",
] as const;

/**
 * @param known inputs of the create or update that has just been made, or the outputs in state: settings that
 * the engine does not keep are taken from here, and a value that means the same keeps this spelling and order
 * (so that a refresh finds nothing, and secret places stay where they are).
 */
export function containerState(inspect: Inspect, known: Props): Props {
  const kept = plainProps(known);
  const out: Props = {
    __meta: containerMeta,
    id: inspect.Id,
    // Absent, the official plugin would take these for changes, `envs` even for a replace.
    attach: false,
    logs: false,
    wait: false,
    envs: [],
    labels: [],
    ...fromEngine(inspect, kept),
  };
  for (const key of KEPT) {
    const value = kept[key] ?? null;
    if (value !== null) out[key] = value;
  }
  for (const [key, value] of Object.entries(out)) {
    const field = containerFields[key];
    const before = kept[key] ?? null;
    if (field === undefined || before === null || field.output === true) continue;
    if (sameValue(field, value, before) && !isShort(field, before)) out[key] = before;
  }
  // Only the client knows this option; the engine keeps two empty lists.
  if (strings(kept, "securityOpts")?.includes(SYSTEM_PATHS) && inspect.HostConfig.MaskedPaths?.length === 0) {
    const options = [...(strings(out, "securityOpts") ?? []), SYSTEM_PATHS];
    const field = containerFields.securityOpts as Field;
    out.securityOpts = sameValue(field, options, kept.securityOpts ?? null)
      ? (kept.securityOpts as Value)
      : options;
  }
  // Down against the program's will is drift: the next update starts it.
  const mustRun = bool(kept, "mustRun") ?? true;
  out.mustRun = mustRun && runs(inspect);
  if (!hasProcess(inspect)) out.exitCode = inspect.State.ExitCode;
  return out;
}

/** An entry that leaves a part to the engine (a port without `external`) is no complete answer. */
function isShort(field: Field, value: Value): boolean {
  const properties = field.items?.properties;
  if (properties === undefined || !Array.isArray(value)) return false;
  const computed = Object.entries(properties).filter(([, inner]) => inner.computed === true);
  return value.some((item) => computed.some(([key]) => ((item as Props)[key] ?? null) === null));
}

/** Everything that can be read back. Optional groups only where they were asked for, as in the official plugin. */
function fromEngine(inspect: Inspect, kept: Props): Props {
  const { Config: config, HostConfig: host, NetworkSettings: network } = inspect;
  const asked = (key: string): boolean => {
    const value = kept[key] ?? null;
    return value !== null && !(Array.isArray(value) && value.length === 0) && value !== "";
  };
  const health = config.Healthcheck;
  const caps = { adds: host.CapAdd ?? [], drops: host.CapDrop ?? [] };
  const image = str(kept, "image") ?? "";
  return present({
    name: inspect.Name.replace(/^\//, ""),
    // A container made by image id names that id only in Image.
    image: image.startsWith("sha256:") ? inspect.Image : config.Image,
    platform: inspect.Platform ?? "",
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    user: config.User ?? "",
    workingDir: config.WorkingDir ?? "",
    command: config.Cmd ?? [],
    entrypoints: config.Entrypoint ?? [],
    tty: config.Tty ?? false,
    stdinOpen: config.OpenStdin ?? false,
    stopSignal: config.StopSignal ?? "",
    stopTimeout: config.StopTimeout ?? 0,
    healthcheck: health
      ? {
          tests: health.Test ?? [],
          interval: goDuration(health.Interval ?? 0),
          timeout: goDuration(health.Timeout ?? 0),
          startPeriod: goDuration(health.StartPeriod ?? 0),
          startInterval: goDuration(health.StartInterval ?? 0),
          retries: health.Retries ?? 0,
        }
      : null,
    rm: host.AutoRemove ?? false,
    readOnly: host.ReadonlyRootfs ?? false,
    restart: host.RestartPolicy?.Name || "no",
    maxRetryCount: host.RestartPolicy?.MaximumRetryCount ?? 0,
    init: host.Init ?? false,
    privileged: host.Privileged ?? false,
    publishAllPorts: host.PublishAllPorts ?? false,
    capabilities: caps.adds.length + caps.drops.length > 0 ? caps : null,
    securityOpts: host.SecurityOpt ?? [],
    runtime: host.Runtime ?? "",
    mounts: (host.Mounts ?? []).map(mount),
    tmpfs: host.Tmpfs ?? null,
    storageOpts: host.StorageOpt ?? null,
    sysctls: host.Sysctls ?? null,
    dns: host.Dns ?? [],
    dnsOpts: host.DnsOptions ?? [],
    dnsSearches: host.DnsSearch ?? [],
    groupAdds: host.GroupAdd ?? [],
    hosts: (host.ExtraHosts ?? []).map(extraHost),
    networkMode: host.NetworkMode ?? "",
    usernsMode: host.UsernsMode ?? "",
    ipcMode: host.IpcMode ?? "",
    pidMode: asked("pidMode") ? (host.PidMode ?? "") : null,
    memory: mib(host.Memory),
    memoryReservation: mib(host.MemoryReservation),
    memorySwap: (host.MemorySwap ?? 0) > 0 ? mib(host.MemorySwap) : (host.MemorySwap ?? 0),
    shmSize: mib(host.ShmSize),
    cpuShares: host.CpuShares ?? 0,
    cpuSet: host.CpusetCpus ?? "",
    cpus: (host.NanoCpus ?? 0) > 0 ? decimal(host.NanoCpus as number) : null,
    deviceReadBps: rates(host.BlkioDeviceReadBps),
    deviceReadIops: rates(host.BlkioDeviceReadIOps),
    deviceWriteBps: rates(host.BlkioDeviceWriteBps),
    deviceWriteIops: rates(host.BlkioDeviceWriteIOps),
    logDriver: host.LogConfig?.Type ?? "",
    logOpts: asked("logOpts") ? (host.LogConfig?.Config ?? null) : null,
    ulimits: asked("ulimits")
      ? (host.Ulimits ?? []).map((limit) => ({ name: limit.Name, soft: limit.Soft, hard: limit.Hard }))
      : [],
    devices: asked("devices") ? devices(inspect, kept) : [],
    deviceRequests: asked("deviceRequests")
      ? (host.DeviceRequests ?? []).map((request) => ({
          driver: request.Driver ?? "",
          count: request.Count ?? 0,
          deviceIds: request.DeviceIDs ?? [],
          capabilities: request.Capabilities?.[0] ?? [],
          ...(request.Options && Object.keys(request.Options).length > 0 ? { options: request.Options } : {}),
        }))
      : [],
    // A container that is down has no bindings; taken as they are, they would ask for a new container, where a start
    // does (the official plugin falls for that if the container must run).
    ports: !asked("ports")
      ? []
      : hasProcess(inspect)
        ? ports(network?.Ports, objects(kept, "ports"))
        : (kept.ports ?? null),
    bridge: network?.Bridge ?? "",
    networkDatas: networkDatas(inspect),
  });
}

function mount(entry: Mount): Props {
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs } = entry;
  const driver = volume?.DriverConfig;
  return present({
    type: entry.Type,
    target: entry.Target,
    source: entry.Source ?? "",
    readOnly: entry.ReadOnly ?? false,
    bindOptions: bind ? { propagation: bind.Propagation ?? "" } : null,
    volumeOptions: volume
      ? present({
          noCopy: volume.NoCopy ?? false,
          labels: labelList(volume.Labels),
          driverName: driver?.Name ?? null,
          driverOptions: driver?.Options ?? null,
          subpath: volume.Subpath || null,
        })
      : null,
    tmpfsOptions: tmpfs ? { sizeBytes: tmpfs.SizeBytes ?? 0, mode: tmpfs.Mode ?? 0 } : null,
  });
}

function extraHost(entry: string): Props {
  const colon = entry.indexOf(":");
  return { host: entry.slice(0, colon), ip: entry.slice(colon + 1) };
}

/** The container's path is told apart from the host's only where the program gave one. */
function devices(inspect: Inspect, kept: Props): Value[] {
  const named = new Set(
    objects(kept, "devices")
      .filter((d) => str(d, "containerPath"))
      .map((d) => str(d, "hostPath")),
  );
  return (inspect.HostConfig.Devices ?? []).map((device) =>
    present({
      hostPath: device.PathOnHost,
      containerPath: named.has(device.PathOnHost) ? device.PathInContainer : null,
      permissions: device.CgroupPermissions,
    }),
  );
}

/** In the order of the known ports, then the engine's; IPv6 twins that the engine adds to 0.0.0.0 are left out. */
function ports(given: NonNullable<Inspect["NetworkSettings"]>["Ports"], known: Props[]): Value[] {
  const out: Props[] = [];
  for (const [key, bindings] of Object.entries(given ?? {})) {
    const [internal, protocol] = key.split("/");
    for (const binding of bindings ?? []) {
      const port = {
        internal: Number(internal),
        external: Number(binding.HostPort),
        ip: binding.HostIp,
        protocol: protocol ?? "tcp",
      };
      out.push(port);
    }
  }
  const wantsV6 = known.some((port) => str(port, "ip")?.includes(":") || str(port, "ip") === "");
  return out
    .filter((port) => wantsV6 || port.ip !== "::")
    .sort(
      (a, b) =>
        Number(a.internal) - Number(b.internal) || String(a.protocol).localeCompare(String(b.protocol)),
    );
}

function networkDatas(inspect: Inspect): Value[] {
  return Object.entries(inspect.NetworkSettings?.Networks ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([networkName, endpoint]) => ({
      networkName,
      ipAddress: endpoint.IPAddress ?? "",
      ipPrefixLength: endpoint.IPPrefixLen ?? 0,
      gateway: endpoint.Gateway ?? "",
      globalIpv6Address: endpoint.GlobalIPv6Address ?? "",
      globalIpv6PrefixLength: endpoint.GlobalIPv6PrefixLen ?? 0,
      ipv6Gateway: endpoint.IPv6Gateway ?? "",
      macAddress: endpoint.MacAddress ?? "",
    }));
}

function rates(given: Rate[] | null | undefined): Value[] {
  return (given ?? []).map((rate) => ({ path: rate.Path, rate: rate.Rate }));
}

function mib(bytes: number | undefined): number {
  return Math.trunc((bytes ?? 0) / MIB);
}

/** CPUs as the official plugin writes them: `0.5`, and whole numbers with one decimal, `2.0`. */
export function decimal(nanos: number): string {
  const text = (nanos / 1e9).toFixed(9).replace(/0+$/, "");
  return text.endsWith(".") ? `${text}0` : text;
}

function present(bag: Record<string, Value>): Props {
  return Object.fromEntries(Object.entries(bag).filter(([, value]) => value !== null));
}
