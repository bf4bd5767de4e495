/**
 * The two renderers of a container. Proves: for every kind, berthd's call of the Engine API and the arguments of a
 * `docker.Container`, as our plugin passes them on, ask an engine for the same container; neither forgets a property.
 * What it does not prove: what an engine makes of it (the end-to-end tests do).
 */
import { describe, expect, it } from "vitest";
import {
  type ContainerKind,
  type ContainerSpec,
  containerPolicies,
  dockerArgs,
  engineBody,
  environment,
} from "../../../../core/containers";
import { containerSpec } from "../../../../plugins/docker/src/container/spec";

const GiB = 2 ** 30;
const kinds = Object.keys(containerPolicies) as ContainerKind[];

const small = (kind: ContainerKind): ContainerSpec => ({
  kind,
  name: `berth-prod-${kind}`,
  image: "sha256:abc",
  owner: { stack: "prod", owner: "alice" },
});

/** With all that a spec can have. */
const large = (kind: ContainerKind) =>
  ({
    ...small(kind),
    hostname: "alice",
    entrypoint: ["/init"],
    command: ["serve", "--all"],
    user: "1000:1000",
    workdir: "/work",
    tty: true,
    labels: { "berth.grant": "g1", "berth.gpus": "GPU-1" },
    env: environment({ B: "2", A: "1" }),
    devices: ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=GPU-2"],
    cgroupParent: "/berth.slice/berth-default.slice/berth-default-alice.slice",
    cpus: 1.5,
    memoryBytes: 3 * GiB,
    memoryReservationBytes: GiB / 2,
    shmBytes: GiB / 4,
    pids: 512,
    mounts: [
      { type: "bind", source: "/mnt/storage/shared", target: "/shared", readOnly: true },
      { type: "volume", source: "data", target: "/data" },
    ],
    ports: [
      { container: 22, host: 10_022, address: "10.0.0.5", protocol: "tcp" },
      { container: 53, host: 20_053, address: "127.0.0.1", protocol: "udp" },
      { container: 53, host: 20_053, address: "10.0.0.5", protocol: "udp" },
    ],
    network: { name: "berth-workspaces", address: "172.30.0.5" },
    health: { command: ["berth-health"], interval: 10, timeout: 90, startPeriod: 60, retries: 3 },
    stopSeconds: 20,
  }) satisfies ContainerSpec;

const isEmpty = (value: unknown) =>
  !value || (typeof value === "object" && Object.keys(value as object).length === 0);

/** Without what asks an engine for nothing: its defaults, and what is empty. */
function asked(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(asked).filter((item) => !isEmpty(item));
  const fields = Object.entries(value).map(([key, item]) => [key, asked(item)] as const);
  return Object.fromEntries(fields.filter(([, item]) => !isEmpty(item)));
}

/** What `POST /containers/create` is sent for a `docker.Container`; its spellings as berthd writes them. */
function byDocker(spec: ContainerSpec) {
  const args = JSON.parse(JSON.stringify(dockerArgs(spec)));
  const { body, networks } = containerSpec(args);
  const host = body.HostConfig as Record<string, string[] | undefined> & { RestartPolicy: object };
  const [network] = networks;
  return asked({
    ...body,
    HostConfig: {
      ...host,
      CapAdd: host.CapAdd?.map((name) => name.replace(/^CAP_/, "")),
      SecurityOpt: host.SecurityOpt?.map((option) => option.replace(/^(no-new-privileges):true$/, "$1")),
      RestartPolicy: { ...host.RestartPolicy, MaximumRetryCount: undefined },
      // The plugin connects the network after it made the container.
      NetworkMode: network?.name ?? host.NetworkMode,
    },
    ...(network ? { NetworkingConfig: { EndpointsConfig: { [network.name]: network.endpoint } } } : {}),
  });
}

/** A container on the bridge, which is Docker's default, says so or not. */
const byBerthd = (
  spec: ContainerSpec,
  network = containerPolicies[spec.kind].network ?? spec.network?.name,
) => {
  const body = engineBody(spec);
  const { PidsLimit: _, ...host } = body.HostConfig;
  return asked({ ...body, HostConfig: { ...host, NetworkMode: network ?? "bridge" } });
};

describe.each(kinds)("a container of kind %s", (kind) => {
  // A policy that names a network leaves no choice of one.
  const networks = containerPolicies[kind].network === undefined ? {} : { network: undefined };

  it("is the same by both renderers, with all that a spec can have", () => {
    for (const sudo of [false, true]) {
      const spec = { ...large(kind), ...networks, sudo };
      expect(byBerthd(spec)).toEqual(byDocker(spec));
    }
  });

  it("is the same by both renderers, with as little as a spec can have", () => {
    expect(byBerthd(small(kind))).toEqual(byDocker(small(kind)));
  });

  it("differs by both renderers where a property is left out", () => {
    const spec: ContainerSpec = { ...large(kind), ...networks };
    const optional = Object.keys(spec).filter(
      (key) => !(key in small(kind)) && spec[key as keyof ContainerSpec] !== undefined,
    );
    expect(optional.length).toBeGreaterThan(18);
    for (const key of optional) {
      const without = { ...spec, [key]: undefined };
      expect(engineBody(without), `${key}, by berthd`).not.toEqual(engineBody(spec));
      // No `docker.Container` has a limit of processes: a stage of the workspace sets it.
      if (key === "pids") expect(dockerArgs(without)).toEqual(dockerArgs(spec));
      else expect(dockerArgs(without), `${key}, by docker.Container`).not.toEqual(dockerArgs(spec));
    }
  });

  it("has its policy by both renderers", () => {
    const { component, restart, capabilities, pids } = containerPolicies[kind];
    const spec = { ...large(kind), pids: undefined };
    const body = engineBody(spec);
    expect(body.Labels).toEqual({
      ...{ "berth.component": component, "berth.owner": "alice", "berth.stack": "prod" },
      ...{ "berth.grant": "g1", "berth.gpus": "GPU-1" },
    });
    expect(body.HostConfig).toMatchObject({
      CapDrop: ["ALL"],
      CapAdd: capabilities,
      Privileged: false,
      Memory: 3 * GiB,
      MemorySwap: 3 * GiB,
      RestartPolicy: { Name: restart },
    });
    expect(body.HostConfig.PidsLimit).toBe(pids);
    expect(body.HostConfig.SecurityOpt.includes("no-new-privileges")).toBe(kind !== "node");
    expect(dockerArgs(spec)).toMatchObject({ restart, memory: 3072, memorySwap: 3072, cpus: "1.5" });
  });
});

it("takes texts that a program knows later as they are", () => {
  const later = { later: true };
  const args = dockerArgs<object, object>({
    ...{ kind: "ray", name: "n", image: later, owner: { stack: "prod", owner: "system" } },
    ...{ labels: { "berth.gpus": later }, env: later, devices: later },
    mounts: [{ type: "volume", source: later, target: "/x" }],
  });
  expect(args).toMatchObject({
    image: later,
    envs: later,
    deviceRequests: [{ driver: "cdi", deviceIds: later }],
  });
  expect(args.labels).toContainEqual({ label: "berth.gpus", value: later });
  expect(args.mounts).toEqual([{ type: "volume", source: later, target: "/x" }]);
});
