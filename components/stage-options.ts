import type { BaremetalNodePlan, Plan, PlannedNode, PortRange } from "../config";
import {
  clusterNetworks,
  hasWorkspace,
  managerOf,
  nfsNode,
  nodeOpenings,
  REGISTRY_PORTS,
  REGISTRY_PULL_PORT,
  rayPorts,
  userRanges,
} from "../config";
import { volumeName } from "../core/containers";
import { bracketed } from "../core/net";
import type {
  BaseOptions,
  FabricSpec,
  FirewallOptions,
  PreflightOptions,
  RuntimeOptions,
  StorageOptions,
} from "./host";
import { RAY_UID } from "./ray/plan";

/** From the plan to what each host stage of a node is asked. Pure. */

/** A droplet's user data tells it to keep itself up to date; bare metal is told here; local nodes are images. */
export function baseOptions(plan: Pick<Plan, "manager">, node: PlannedNode): BaseOptions {
  return {
    ...(node.kind === "baremetal" ? { securityUpdates: true } : {}),
    ...(managerOf(plan, node) ? { manager: true } : {}),
  };
}

export function firewallOptions(plan: Plan, node: PlannedNode): FirewallOptions {
  return {
    allowSsh: plan.firewall.allowSsh,
    sshPort: node.sshPort,
    allowUsers: plan.firewall.allowUsers,
    userPorts: userRanges(plan),
    clusterAddresses: clusterNetworks(plan),
    clusterPorts: rayPorts(plan),
    ...(plan.ray.enabled ? { rayUid: RAY_UID } : {}),
    rules: [
      ...nodeOpenings(plan, node).flatMap(({ ports, protocol, from, published }) =>
        ports.map((port) => ({ port, protocol, from, ...(published && { published }) })),
      ),
      ...plan.firewall.rules,
    ],
  };
}

/** @param registry `HOST:PORT` of the stack's own, from which images come by digest. */
export function runtimeOptions(plan: Plan, node: PlannedNode, registry: string): RuntimeOptions {
  const local = plan.nodes.some(({ kind }) => kind === "local");
  const given = plan.nodes.filter((node): node is BaremetalNodePlan => node.kind === "baremetal");
  return {
    avoidNetworks: [
      ...(local ? [plan.network.cidr] : []),
      ...(plan.digitalocean ? [plan.digitalocean.vpcCidr] : []),
      ...given.map(({ privateAddress }) => privateAddress),
    ],
    insecureRegistries: [registry],
    ...(node.sshUser === "root" ? {} : { login: node.sshUser }),
    ...(settled(node.runtime) as Pick<RuntimeOptions, "docker" | "gpu" | "nvidia">),
  };
}

/** Without the keys that are left out: a rendered text never depends on them. */
function settled<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** The other node that an NFS mount of this node names, if it names one. */
export function nfsServers(plan: Plan, node: PlannedNode): string[] {
  const names = plan.nodes.map(({ name }) => name);
  return (node.storage.nfs?.mounts ?? []).flatMap(({ from }) => nfsNode(names, from) ?? []);
}

const hostOf = (from: string) => from.slice(0, from.lastIndexOf(":/"));

/**
 * Devices, mounts and quotas of one node. On a local node without any of them the storage is nobody's business; on a
 * real machine an empty list stays, so that what leaves the configuration is unmounted.
 *
 * @param servers private addresses of the nodes that its NFS mounts name.
 */
export function storageOptions(
  plan: Plan,
  node: PlannedNode,
  servers: Readonly<Record<string, string>> = {},
): StorageOptions {
  const { devices = [], lvm, nfs, bind } = node.storage;
  const volumes = (node.kind === "digitalocean" ? node.volumes : []).map(({ name, filesystem, mount }) => ({
    // The end of its name in /dev/disk/by-id, as DigitalOcean documents it.
    match: { serial: `0DO_Volume_${volumeName(plan.stack, name)}` },
    filesystem,
    mount,
  }));
  const quotas = plan.users
    .filter((user) => user.node === node.name && hasWorkspace(user))
    .flatMap(({ name, uid, quota }) => (quota ? [{ user: name, uid, ...quota }] : []));
  const all = [...volumes, ...devices];
  const mounts = nfs?.mounts?.map((mount) => {
    const host = hostOf(mount.from);
    const address = servers[host];
    return address === undefined
      ? mount
      : { ...mount, from: `${bracketed(address)}${mount.from.slice(host.length)}` };
  });
  return {
    ...(node.kind !== "local" || all.length > 0 ? { devices: all } : {}),
    ...(lvm ? { lvm } : {}),
    ...(nfs ? { nfs: { ...nfs, ...(mounts ? { mounts } : {}) } } : {}),
    ...(bind ? { bind } : {}),
    ...(quotas.length > 0 ? { quotas } : {}),
  };
}

/** InfiniBand, where the configuration turns it on. */
export function fabricSpec({ fabric }: PlannedNode): FabricSpec | undefined {
  if (!fabric?.enabled) return undefined;
  const { interface: name, address, mtu } = fabric;
  if (name === undefined || address === undefined) return {};
  return { interfaces: [{ name, address, ...(mtu === undefined ? {} : { mtu }) }] };
}

/** What adopting a server will ask of it: what its stages are asked, and the ports that must be free. */
export function preflightOptions(plan: Plan, node: BaremetalNodePlan): Omit<PreflightOptions, "node"> {
  const { containers, ray, agent } = plan.ports;
  const { workers, ...single } = ray;
  const manager = managerOf(plan, node);
  const at = (path: string, what: string, range: PortRange) => ({ ...range, what, path });
  const one = (port: number) => ({ start: port, end: port });
  return {
    stack: plan.stack,
    privateAddress: node.privateAddress,
    ...(node.privateInterface === undefined ? {} : { privateInterface: node.privateInterface }),
    ports: [
      ...userRanges(plan).map((range) => at("berth:ports.users", "the users' blocks", range)),
      at("berth:ports.containers", "the ports of containers", containers),
      ...(plan.ray.enabled
        ? [
            ...Object.entries(single).map(([name, port]) => at(`berth:ports.ray.${name}`, "Ray", one(port))),
            at("berth:ports.ray.workers", "Ray's workers", workers),
          ]
        : []),
      ...(agent === undefined ? [] : [at("berth:agent.port", "berthd's API", one(agent))]),
      ...(manager ? [at("berth:manager.port", "the container manager", one(manager.port))] : []),
      ...(node.role === "head" ? [at("fixed", "the image registry", REGISTRY_PORTS)] : []),
    ],
    base: baseOptions(plan, node),
    firewall: firewallOptions(plan, node),
    storage: storageOptions(plan, node),
    ...(plan.dockerFirst && node.autoExec ? { login: node.autoExec.login } : {}),
    // A droplet's address is not known yet when a server is looked at.
    ...(plan.head.kind === "digitalocean"
      ? {}
      : {
          runtime: runtimeOptions(plan, node, `${bracketed(plan.head.privateAddress)}:${REGISTRY_PULL_PORT}`),
        }),
  };
}
