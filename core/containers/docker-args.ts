import { labelList } from "./labels";
import { containerPolicies } from "./policy";
import { type ContainerSpec, labelsOf, restartOf } from "./spec";

/** The second renderer: a container as `docker.Container` takes it. Pure. */

const MiB = 2 ** 20;

/**
 * Arguments of a `docker.Container`. What Docker would fill in itself is stated as it says it, as an official plugin would
 * show every other spelling as a change for ever.
 */
export function dockerArgs<Text, Texts>(spec: ContainerSpec<Text, Texts>) {
  const policy = containerPolicies[spec.kind];
  const { network, health, devices, stopSeconds } = spec;
  const memory = mib(spec.memoryBytes);
  const adds = policy.capabilities.map((name) => `CAP_${name}`);
  const securityOpts = [
    ...(policy.mayGainRights || spec.sudo ? [] : ["no-new-privileges:true"]),
    ...(policy.securityOptions ?? []),
  ];
  return {
    name: spec.name,
    image: spec.image,
    hostname: spec.hostname,
    entrypoints: copied(spec.entrypoint),
    command: copied(spec.command),
    user: spec.user,
    workingDir: spec.workdir,
    tty: spec.tty,
    labels: labelList<string | Text>(labelsOf(spec)),
    envs: spec.env,
    deviceRequests: devices && [{ driver: "cdi", deviceIds: devices }],
    capabilities: { drops: ["ALL"], adds: adds.length === 0 ? undefined : adds },
    securityOpts: securityOpts.length === 0 ? undefined : securityOpts,
    privileged: policy.privileged,
    cgroupnsMode: policy.cgroupns,
    ipcMode: policy.ipc,
    init: policy.init,
    restart: restartOf(spec),
    cgroupParent: spec.cgroupParent,
    cpus: spec.cpus === undefined ? undefined : cpus(spec.cpus),
    memory,
    memorySwap: memory,
    memoryReservation: mib(spec.memoryReservationBytes),
    shmSize: mib(spec.shmBytes),
    mounts: copied(spec.mounts),
    ports: spec.ports?.map(({ container, host, address, protocol }) => ({
      ...{ internal: container, external: host, ip: address, protocol },
    })),
    networkMode: policy.network,
    networksAdvanced: network && [{ name: network.name, ipv4Address: network.address }],
    healthcheck: health && {
      tests: ["CMD", ...health.command],
      interval: duration(health.interval),
      timeout: duration(health.timeout),
      startPeriod: duration(health.startPeriod),
      retries: health.retries,
    },
    stopTimeout: stopSeconds,
    destroyGraceSeconds: stopSeconds,
    logDriver: policy.logs.driver,
    logOpts: { "max-file": String(policy.logs.maxFiles), "max-size": policy.logs.maxSize },
  };
}

const copied = <T>(list: readonly T[] | undefined) => list && [...list];

/** Whole MiB. */
const mib = (bytes: number | undefined) => (bytes === undefined ? undefined : Math.floor(bytes / MiB));

/** A whole number is written "2.0", as the official plugin reads it back. */
const cpus = (count: number) => (Number.isInteger(count) ? count.toFixed(1) : String(count));

/** As Go writes it: `10s`, `1m0s`. @param seconds less than an hour */
const duration = (seconds: number) =>
  seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
