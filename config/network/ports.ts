import { servicePorts, type UserService } from "../../core/containers";
import type { PortRange } from "../../core/net";

/**
 * The port plan: who may listen where on a node. Pure.
 *
 * Three kinds of range share a node and must never meet: the users' blocks, the ports of berthd's
 * own containers, and Ray's pinned ports. All lie below the kernel's ephemeral range
 * (`net.ipv4.ip_local_port_range`, 32768 by default), so no outgoing connection can take one.
 */

export interface RayPorts {
  gcs: number;
  dashboard: number;
  client: number;
  nodeManager: number;
  objectManager: number;
  runtimeEnvAgent: number;
  dashboardAgentHttp: number;
  dashboardAgentGrpc: number;
  metrics: number;
  workers: PortRange;
}

/** @example { ...defaultPorts, users: { start: 12000, blocks: 50 } } */
export interface PortPlan {
  /** No blocks in a stack without users. */
  users: { start: number; blocks: number };
  containers: PortRange;
  ray: RayPorts;
  /** berthd's HTTP API; left out where it listens on no port. */
  agent?: number;
  /** The container manager; left out where there is none. */
  manager?: number;
  /** The image registry on the head; left out where the operator's computer serves all nodes. */
  registry?: PortRange;
}

/** The ports of containers beside back-ends' alone: what is the users' elsewhere. */
export const PORTS_WITHOUT_USERS: PortRange = { start: 10000, end: 20000 };

/** Ports in one user's block. 100 each: room for the user's own servers beside Berth's. */
export const PORTS_PER_USER = 100;

/** The kernel's default first ephemeral port (ip-sysctl, ip_local_port_range). */
export const FIRST_EPHEMERAL_PORT = 32768;

export type UserPorts = Record<UserService, number> & { block: PortRange };

/**
 * Defaults. Ray's GCS and dashboard keep Ray's own well-known numbers; Ray's default worker range
 * (10002-19999) and client port (10001) would fall into the users' blocks, so they move above those of containers.
 */
export const defaultPorts: PortPlan = {
  users: { start: 10000, blocks: 100 },
  containers: { start: 20000, end: 29999 },
  ray: {
    gcs: 6379,
    dashboard: 8265,
    client: 30001,
    nodeManager: 30002,
    objectManager: 30003,
    runtimeEnvAgent: 30004,
    dashboardAgentHttp: 30005,
    dashboardAgentGrpc: 30006,
    metrics: 30007,
    workers: { start: 31000, end: 31999 },
  },
};

/**
 * Metrics of the head's autoscaler and dashboard, which listen on every address without a sign-in
 * (AUTOSCALER_METRIC_PORT, DASHBOARD_METRIC_PORT). images/ray pins them here; the firewall opens them to nobody.
 */
export const RAY_HEAD_METRICS: PortRange = { start: 30008, end: 30009 };

/**
 * The image registry on the head: nodes pull at the first, and images are pushed at the second, on its loopback.
 * `berth:registryPort` is another one, on the operator's computer.
 */
export const REGISTRY_PORTS: PortRange = { start: 5000, end: 5001 };

/** The block and service ports of the user with this index. */
export function userPorts(plan: PortPlan, index: number): UserPorts {
  const base = plan.users.start + PORTS_PER_USER * index;
  return { ...servicePorts(base), block: { start: base, end: base + PORTS_PER_USER - 1 } };
}

/** The blocks of all users as one range; none in a stack without users. */
export const blocksOf = ({ users: { start, blocks } }: Pick<PortPlan, "users">): PortRange[] =>
  blocks === 0 ? [] : [{ start, end: start + PORTS_PER_USER * blocks - 1 }];

export interface NamedRange extends PortRange {
  /** Configuration path, such as `berth:ports.ray.client`. */
  path: string;
  /** What uses it, for people. */
  what: string;
}

/** Every range of the plan with its name, SSH included. */
export function namedRanges(plan: PortPlan): NamedRange[] {
  const one = (path: string, what: string, port: number): NamedRange => ({
    path,
    what,
    start: port,
    end: port,
  });
  const { workers, ...rayPorts } = plan.ray;
  return [
    one("ssh", "the node's SSH", 22),
    ...blocksOf(plan).map((blocks) => ({ path: "berth:ports.users", what: "the users' blocks", ...blocks })),
    { path: "berth:ports.containers", what: "the ports of containers", ...plan.containers },
    ...Object.entries(rayPorts).map(([key, port]) =>
      one(`berth:ports.ray.${key}`, `Ray's ${key} port`, port),
    ),
    { path: "Ray's head metrics", what: "Ray's head metrics", ...RAY_HEAD_METRICS },
    ...(plan.registry ? [{ path: "the image registry", what: "the image registry", ...plan.registry }] : []),
    ...(plan.agent === undefined ? [] : [one("berth:agent.port", "berthd's API", plan.agent)]),
    ...(plan.manager === undefined ? [] : [one("berth:manager.port", "the container manager", plan.manager)]),
    { path: "berth:ports.ray.workers", what: "Ray's worker ports", ...workers },
  ];
}

/** All pairs of ranges that meet, each once, in the plan's order. */
export function overlaps(ranges: readonly NamedRange[]): [NamedRange, NamedRange][] {
  return ranges.flatMap((a, i) =>
    ranges
      .slice(i + 1)
      .filter((b) => a.start <= b.end && b.start <= a.end)
      .map((b): [NamedRange, NamedRange] => [a, b]),
  );
}
