import type { PortRange } from "../../core/net";
import { managerOf } from "../manager/plan";
import type { Plan, PlannedNode } from "../plan";
import { blocksOf, REGISTRY_PORTS } from "./ports";

/** Who may reach which ports of the stack's machines: one list for every firewall. Pure. */

export interface Opening {
  what: string;
  protocol: "tcp" | "udp";
  ports: PortRange[];
  /** Addresses and networks. */
  from: string[];
  /** What is published there alone, never what listens on the machine itself. */
  published?: true;
}

/** Where nodes pull images from the head, in stacks whose nodes are not all on this computer. */
export const REGISTRY_PULL_PORT = REGISTRY_PORTS.start;

/** NFS 4 needs this port alone (RFC 7530, 3.1). */
export const NFS_PORT = 2049;

const single = (port: number): PortRange => ({ start: port, end: port });

/** True when images are served by the head: no node but a local one reaches the operator's computer. */
export const servedByHead = (plan: { nodes: readonly { kind: PlannedNode["kind"] }[] }) =>
  plan.nodes.some(({ kind }) => kind !== "local");

/**
 * Where the stack's nodes stand among themselves. Droplets are in by their private network, which is the stack's
 * own: a new one changes nothing for the others.
 */
export function clusterNetworks(plan: Plan): string[] {
  const known = plan.nodes.flatMap((node) => (node.kind === "digitalocean" ? [] : [node.privateAddress]));
  const droplets = plan.nodes.some(({ kind }) => kind === "digitalocean");
  return [...known, ...(droplets && plan.digitalocean ? [plan.digitalocean.vpcCidr] : [])];
}

/** Ray's ports, as ranges. */
export function rayPorts(plan: Plan): PortRange[] {
  if (!plan.ray.enabled) return [];
  const { workers, ...others } = plan.ports.ray;
  return [...Object.values(others).map(single), workers];
}

/** The blocks of all users; none in a stack without users. */
export const userRanges = ({ ports }: Plan): PortRange[] => blocksOf(ports);

/** Where back-ends reach a node's container manager, and who reaches what its containers publish. */
function managerOpenings(plan: Plan, node: PlannedNode): Opening[] {
  const manager = managerOf(plan, node);
  if (!manager) return [];
  const { listen, publish } = manager.from;
  const containers = { what: "containers of back-ends", ports: [plan.ports.containers], from: publish };
  const all: Opening[] = [
    { what: "the container manager", protocol: "tcp", ports: [single(manager.port)], from: listen },
    // Docker's proxy, which listens on the node, answers IPv6 before version 27.
    { ...containers, protocol: "tcp" },
    // Whoever runs something on the node's network could listen to what is sent to a port that no container has.
    { ...containers, protocol: "udp", published: true },
  ];
  return all.filter(({ from }) => from.length > 0);
}

/** What a node serves to others besides SSH, Ray and workspaces. */
export function nodeOpenings(plan: Plan, node: PlannedNode): Opening[] {
  const offered = node.storage.nfs?.server?.exports ?? [];
  return [
    ...(servedByHead(plan) && node.role === "head"
      ? [
          {
            what: "the image registry",
            protocol: "tcp" as const,
            ports: [single(REGISTRY_PULL_PORT)],
            from: clusterNetworks(plan),
          },
        ]
      : []),
    ...(offered.length > 0
      ? [
          {
            what: "NFS",
            protocol: "tcp" as const,
            ports: [single(NFS_PORT)],
            from: offered.flatMap(({ to }) => to),
          },
        ]
      : []),
    ...(plan.agent.listen === "private"
      ? [
          {
            what: "berthd's API",
            protocol: "tcp" as const,
            ports: [single(plan.agent.port)],
            from: clusterNetworks(plan),
          },
        ]
      : []),
    ...managerOpenings(plan, node),
  ];
}

/** Everything that is open on the droplets, from outside and among the nodes. */
export function openings(plan: Plan): Opening[] {
  const droplets = plan.nodes.filter(({ kind }) => kind === "digitalocean");
  const ssh = plan.digitalocean?.allowSshFrom ?? [];
  const all: Opening[] = [
    { what: "SSH", protocol: "tcp", ports: [single(22)], from: ssh },
    { what: "Ray", protocol: "tcp", ports: rayPorts(plan), from: clusterNetworks(plan) },
    { what: "workspaces", protocol: "tcp", ports: userRanges(plan), from: plan.firewall.allowUsers },
    ...droplets.flatMap((node) => nodeOpenings(plan, node)),
    ...plan.firewall.rules.map(({ port, protocol, from }) => ({
      what: `port ${port}`,
      protocol,
      ports: [single(port)],
      from,
    })),
  ];
  // What every droplet serves stands there once.
  const keys = all.map((opening) => JSON.stringify(opening));
  return all.filter((_, i) => keys.indexOf(keys[i] ?? "") === i);
}
