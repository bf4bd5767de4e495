import { containerPolicies } from "./policy";
import { type ContainerSpec, labelsOf, type PublishedPort, restartOf } from "./spec";

/** The first renderer: a container as the Engine API takes it. Pure. */

/** Nanoseconds in a second. */
const SECOND = 1e9;

/** Body of `POST /containers/create`: these fields and no others. */
export type ContainerBody = ReturnType<typeof engineBody>;

export function engineBody(spec: ContainerSpec) {
  const policy = containerPolicies[spec.kind];
  const { network, health, devices = [], memoryBytes } = spec;
  const { exposed, bindings } = portMaps(spec.ports);
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
      Mounts: spec.mounts?.map(({ type, source, target, readOnly = false, propagation }) => ({
        ...{ Type: type, Source: source, Target: target, ReadOnly: readOnly },
        ...(propagation === undefined ? {} : { BindOptions: { Propagation: propagation } }),
      })),
    }),
    NetworkingConfig: network?.address && {
      EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.address } } },
    },
  });
}

function portMaps(ports: readonly PublishedPort[] = []) {
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
