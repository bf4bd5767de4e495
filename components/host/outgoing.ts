/**
 * Rules for what the node itself sends (OUTPUT): who may ask the provider's metadata service, who may answer on
 * people's ports, and where Ray's tasks may connect to. Pure.
 *
 * Ray's processes use the node's own network, so an address says nothing about them; the uid of the socket does
 * (xt_owner, which knows it only on the way out). Connections are refused where they are opened, by their first packet:
 * what a closed socket still sends has no owner any more, and must get through.
 */

import { FIRST_EPHEMERAL_PORT, type PortRange } from "../../config";
import type { Network } from "../../core/net";
import { KNOWN_BRIDGES } from "./bridges";
import { portGroups, portText } from "./networks";

export interface Outgoing {
  /** The users' blocks. */
  userPorts: readonly PortRange[];
  /** Other TCP ports of the node that the firewall opens to somebody. */
  openPorts: readonly PortRange[];
  /** Ray's part; left out where Ray does not run. */
  ray?: RayTraffic;
}

export interface RayTraffic {
  /** The uid of everything in Ray's container. */
  uid: number;
  /** Ray's ports: the same on every node. */
  ports: readonly PortRange[];
  /** Where the cluster's nodes are. */
  nodes: readonly Network[];
  /** The network of the workspaces, behind its bridge. */
  workspaces: Network;
  /** Ports of services of the node that are refused at once. What else is not Ray's is never answered. */
  refused: readonly PortRange[];
}

/**
 * Where providers serve a machine's metadata, with its user data: 169.254.169.254 (DigitalOcean and most others; the
 * whole of RFC 3927's network, of which others use other addresses), fd00:ec2::254 (Amazon's, over IPv6), fd20:ce::254
 * (Google's, over IPv6), and fe80::a9fe:a9fe (OpenStack's, over IPv6).
 */
export const METADATA = {
  4: ["169.254.0.0/16"],
  6: ["fd00:ec2::254/128", "fd20:ce::254/128", "fe80::a9fe:a9fe/128"],
} as const;

/**
 * Those that are addresses like others, or have other services, so that only these TCP ports are meant: Alibaba's
 * 100.100.100.200, which lies in a network that VPNs use (RFC 6598), and Azure's 168.63.129.16 (80 and 32526, the "wire
 * server" of its agent), which is the name server too.
 */
const METADATA_PORTS = [
  { to: "100.100.100.200/32", ports: "80" },
  { to: "168.63.129.16/32", ports: "80,32526" },
] as const;

/** What a packet to metadata looks like, one family, in iptables' words. */
export function toMetadata(family: 4 | 6): string[] {
  const some = METADATA_PORTS.map(({ to, ports }) => `-d ${to} -p tcp -m multiport --dports ${ports}`);
  return [...METADATA[family].map((network) => `-d ${network}`), ...(family === 4 ? some : [])];
}

/** Lines of the rules that the node's script fills in. */
export const MONITORING_AGENT = "# metadata, for the monitoring agent";
export const RAY_TO_BRIDGES = "# interfaces, as Docker tells them: from Ray to its bridges";

export const OUTGOING_CHAINS = ["BERTH-OUT", "BERTH-RAY", "BERTH-RAY-SELF"] as const;

/**
 * One bit of a connection's mark (Linux, nf_conntrack): Ray opened it to an address of its own node. Others use the low
 * bits (Docker, Kubernetes, Tailscale) or mark packets, not connections; the other bits are left as they are.
 */
const OPENED_BY_RAY = "0x10000000/0x10000000";

/** The packet that answers the first one of a connection. */
const ANSWER = "-p tcp --tcp-flags SYN,ACK SYN,ACK";

/**
 * That one, and the first one itself. Who waits for an answer takes a first packet from the same port for one (RFC 9293,
 * 3.5, "simultaneous open"), so a port is not guarded by what answers from it alone.
 */
const SYN = "-p tcp --tcp-flags SYN SYN";

/** The rules, one family, in iptables-restore's form. */
export function outgoingRules(family: 4 | 6, { userPorts, openPorts, ray }: Outgoing): string[] {
  const ports = (rule: string, ranges: readonly PortRange[], side: "sports" | "dports", rest: string) =>
    portGroups(ranges).map(
      (group) => `-A ${rule} -m multiport --${side} ${group.map(portText).join(",")} ${rest}`,
    );
  return [
    MONITORING_AGENT,
    ...toMetadata(family).map((to) => `-A BERTH-OUT ${to} -m owner ! --uid-owner 0 -j REJECT`),
    // On people's ports answers Docker's proxy, which is root's, and nobody calls from them. What has no socket is a SYN cookie: a listener that is
    // flooded answers so, whoever it belongs to.
    ...ports(`BERTH-OUT ${SYN}`, userPorts, "sports", "-m owner ! --uid-owner 0 -j DROP"),
    ...(ray ? rayRules(family, ray, ports, openPorts) : []),
  ];
}

const belowEphemeral = (ranges: readonly PortRange[]): PortRange[] =>
  ranges.flatMap(({ start, end }) =>
    start < FIRST_EPHEMERAL_PORT ? [{ start, end: Math.min(end, FIRST_EPHEMERAL_PORT - 1) }] : [],
  );

function rayRules(
  family: 4 | 6,
  { uid, ports: own, nodes, workspaces, refused }: RayTraffic,
  ports: (rule: string, ranges: readonly PortRange[], side: "sports" | "dports", rest: string) => string[],
  openPorts: readonly PortRange[],
): string[] {
  const { docker, podman } = KNOWN_BRIDGES;
  const near = nodes.filter((network) => network.family === family);
  return [
    ...ports(`BERTH-OUT ${ANSWER}`, openPorts, "sports", "-m owner ! --socket-exists -j DROP"),
    // What Ray opens on its own node is answered by Ray alone.
    `-A BERTH-OUT ${ANSWER} -m connmark --mark ${OPENED_BY_RAY} -m owner ! --uid-owner ${uid} -j DROP`,
    `-A BERTH-OUT -m owner --uid-owner ${uid} -j BERTH-RAY`,
    // Nor does Ray call from a port that is opened for somebody else's service; the kernel gives out no such ones below
    // its ephemeral range, and above it any.
    ...ports("BERTH-RAY -p tcp --syn", belowEphemeral(openPorts), "sports", "-j DROP"),
    // Ray answers on its own ports, and itself.
    `-A BERTH-RAY ${ANSWER} -m connmark --mark ${OPENED_BY_RAY} -j RETURN`,
    ...ports(`BERTH-RAY ${ANSWER}`, own, "sports", "-j RETURN"),
    `-A BERTH-RAY ${ANSWER} -j DROP`,
    "-A BERTH-RAY -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    // A name server of the node's own may be behind a redirection, as Docker's is.
    "-A BERTH-RAY -m conntrack --ctstate DNAT --ctorigdstport 53 -j RETURN",
    // Workspaces and other containers, on the ports that they publish here too: those are rewritten by now.
    ...[...docker, ...podman].map((bridge) => `-A BERTH-RAY -o ${bridge} -j REJECT`),
    RAY_TO_BRIDGES,
    ...(workspaces.family === family ? [`-A BERTH-RAY -d ${workspaces.text} -j REJECT`] : []),
    "-A BERTH-RAY -o lo -m conntrack --ctstate DNAT -j REJECT",
    "-A BERTH-RAY -o lo -g BERTH-RAY-SELF",
    ...near.flatMap(({ text }) => [
      ...ports(`BERTH-RAY -d ${text} -p tcp`, own, "dports", "-j RETURN"),
      `-A BERTH-RAY -d ${text} -j REJECT`,
    ]),
    ...ports("BERTH-RAY-SELF -p tcp", own, "dports", "-j RETURN"),
    ...["tcp", "udp"].map((protocol) => `-A BERTH-RAY-SELF -p ${protocol} --dport 53 -j RETURN`),
    ...ports("BERTH-RAY-SELF -p tcp", refused, "dports", "-j REJECT --reject-with tcp-reset"),
    `-A BERTH-RAY-SELF -p tcp -j CONNMARK --set-xmark ${OPENED_BY_RAY}`,
    "-A BERTH-RAY-SELF -p tcp -j RETURN",
    "-A BERTH-RAY-SELF -j REJECT",
  ];
}
