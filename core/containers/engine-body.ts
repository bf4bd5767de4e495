import { type ContainerPolicy, policyOf } from "./policy";
import { type ContainerSpec, labelsOf, type PublishedPort, restartOf } from "./spec";

/** The first renderer: a container as the Engine API takes it. Pure. */

/** Body of `POST /containers/create`: these fields and no others. */
export interface ContainerBody {
  Image: string;
  Hostname?: string;
  Cmd?: string[];
  Entrypoint?: string[];
  User?: string;
  WorkingDir?: string;
  Env: string[];
  Labels: Record<string, string>;
  StopTimeout?: number;
  Tty: boolean;
  OpenStdin: false;
  ExposedPorts?: Record<string, object>;
  Healthcheck?: { Test: string[]; Interval: number; Timeout: number; StartPeriod: number; Retries: number };
  HostConfig: {
    CapDrop: ["ALL"];
    CapAdd: string[];
    SecurityOpt: string[];
    Privileged: false;
    CgroupnsMode?: "private";
    IpcMode?: "private";
    Init: boolean;
    NetworkMode?: string;
    PortBindings?: Record<string, { HostIp: string; HostPort: string }[]>;
    CgroupParent?: string;
    DeviceRequests: { Driver: string; DeviceIDs: string[] }[];
    NanoCpus?: number;
    Memory?: number;
    MemorySwap?: number;
    MemoryReservation?: number;
    ShmSize?: number;
    PidsLimit?: number;
    LogConfig: { Type: string; Config: Record<string, string> };
    RestartPolicy: { Name: ContainerPolicy["restart"] };
    Mounts?: { Type: "bind" | "volume"; Source: string; Target: string; ReadOnly: boolean }[];
  };
  NetworkingConfig?: { EndpointsConfig: Record<string, { IPAMConfig: { IPv4Address: string } }> };
}

/** Nanoseconds in a second. */
const SECOND = 1e9;

export function engineBody(spec: ContainerSpec): ContainerBody {
  const policy = policyOf(spec.kind);
  const { network, health, devices = [], mounts = [], memoryBytes } = spec;
  const { exposed, bindings } = portMaps(spec.ports ?? []);
  return given({
    Image: spec.image,
    Hostname: spec.hostname,
    Cmd: copied(spec.command),
    Entrypoint: copied(spec.entrypoint),
    User: spec.user,
    WorkingDir: spec.workdir,
    Env: [...(spec.env ?? [])],
    Labels: labelsOf(spec),
    StopTimeout: spec.stopSeconds,
    Tty: spec.tty ?? false,
    OpenStdin: false,
    ExposedPorts: exposed,
    Healthcheck: health && {
      Test: ["CMD", ...health.command],
      Interval: health.interval * SECOND,
      Timeout: health.timeout * SECOND,
      StartPeriod: health.startPeriod * SECOND,
      Retries: health.retries,
    },
    HostConfig: given({
      CapDrop: ["ALL"],
      CapAdd: [...policy.capabilities],
      SecurityOpt: [
        ...(policy.mayGainRights || spec.sudo ? [] : ["no-new-privileges"]),
        ...(policy.securityOptions ?? []),
      ],
      Privileged: false,
      CgroupnsMode: policy.cgroupns,
      IpcMode: policy.ipc,
      Init: policy.init ?? false,
      NetworkMode: policy.network ?? network?.name,
      PortBindings: bindings,
      CgroupParent: spec.cgroupParent,
      DeviceRequests: devices.length === 0 ? [] : [{ Driver: "cdi", DeviceIDs: [...devices] }],
      NanoCpus: spec.cpus === undefined ? undefined : Math.round(spec.cpus * 1e9),
      Memory: memoryBytes,
      MemorySwap: memoryBytes,
      MemoryReservation: spec.memoryReservationBytes,
      ShmSize: spec.shmBytes,
      PidsLimit: spec.pids ?? policy.pids,
      LogConfig: {
        Type: policy.logs.driver,
        Config: { "max-size": policy.logs.maxSize, "max-file": String(policy.logs.maxFiles) },
      },
      RestartPolicy: { Name: restartOf(spec) },
      Mounts:
        mounts.length === 0
          ? undefined
          : mounts.map(({ type, source, target, readOnly = false }) => ({
              ...{ Type: type, Source: source, Target: target, ReadOnly: readOnly },
            })),
    }),
    NetworkingConfig:
      network?.address === undefined
        ? undefined
        : { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.address } } } },
  });
}

function portMaps(ports: readonly PublishedPort[]) {
  if (ports.length === 0) return {};
  const exposed: Record<string, object> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { container, host, address, protocol } of ports) {
    const inside = `${container}/${protocol}`;
    exposed[inside] = {};
    bindings[inside] = [...(bindings[inside] ?? []), { HostIp: address, HostPort: String(host) }];
  }
  return { exposed, bindings };
}

const copied = (list: readonly string[] | undefined) => list && [...list];

/** Without what is undefined. */
const given = <T extends object>(bag: T): T =>
  Object.fromEntries(Object.entries(bag).filter(([, value]) => value !== undefined)) as T;
