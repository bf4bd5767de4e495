/**
 * The rules beside ufw's, and the script that keeps them in place on a node. What is forwarded is written here: published
 * ports are guarded, everything else stays with whose it is. What the node itself sends is in outgoing.ts. Pure.
 *
 * Guarded is a packet whose destination was rewritten (`--ctstate DNAT`: a published port, whichever tool published
 * it), and one sent straight to a bridge of Docker's, past its ports. What virtual machines, VPNs, routes and other
 * container tools forward passes our chains by, and meets what their owners wrote.
 */

import { NFS_PORT, type PortRange } from "../../config";
import type { Network } from "../../core/net";
import { dockerBridges, KNOWN_BRIDGES, KNOWN_INTERFACES } from "./bridges";
import { portText } from "./networks";
import {
  MONITORING_AGENT,
  OUTGOING_CHAINS,
  type Outgoing,
  outgoingRules,
  RAY_TO_BRIDGES,
  toMetadata,
} from "./outgoing";
import { scriptsOf } from "./script";
import { heredoc, quote } from "./shell";

const script = scriptsOf(__dirname);

/** One permission, in the order written: from these networks to these ports. */
export interface Allow {
  ports: PortRange[];
  protocol: "tcp" | "udp";
  from: Network[];
}

const DIR = "/etc/berth/firewall";
export const APPLY = "/usr/local/lib/berth/firewall";

/** The comment of the one rule in FORWARD that keeps the policy which the machine had before Berth. */
export const OTHERS_RULE = "berth-others";

/** Every chain of ours: what is left of another version's rules goes when they are filled. */
export const CHAINS = [
  "BERTH-USER",
  "BERTH-GUESTS",
  "BERTH-OUTSIDE",
  "BERTH-LINK",
  ...OUTGOING_CHAINS,
] as const;

/** What the rules are made of. */
export interface FirewallPolicy {
  published: readonly Allow[];
  outgoing: Outgoing;
  /** Where the cluster's nodes are. */
  nodes: readonly Network[];
}

/** All of our rules, one family, for iptables-restore. */
export function firewallRules(family: 4 | 6, { published, outgoing, nodes }: FirewallPolicy): string {
  return [
    "*filter",
    ...CHAINS.map((chain) => `:${chain} - [0:0]`),
    ...forwardedRules(family, published, nodes),
    ...outgoingRules(family, outgoing),
    "COMMIT",
    "",
  ].join("\n");
}

/**
 * Rules for what is forwarded, one family, in iptables-restore's form.
 *
 * Container ports differ from published ones, and DNAT comes before FORWARD: what the client asked for is only in
 * the connection's record (`--ctorigdstport`). RETURN, never ACCEPT: Docker's own isolation has its say after ours.
 *
 * BERTH-GUESTS is for bridges that have only guests of others on them (virtual machines, pods): a destination that
 * was rewritten for a guest on its way to another guest or out is no published port. It is one again where it leads to Docker, or
 * to an interface that nobody knew when Docker was last asked.
 *
 * A network that Docker made since then has a bridge called `br-` and a part of its id, unless its maker gave it a name: what
 * is sent to such a bridge is closed as well. Before the first answer nothing is known of bridges that look so.
 *
 * No container reaches the provider's metadata service, nor the files that nodes serve (BERTH-LINK); guests of others do, as they did.
 */
function forwardedRules(family: 4 | 6, allows: readonly Allow[], nodes: readonly Network[]): string[] {
  const lines = allows.flatMap(({ ports, protocol, from }) =>
    from
      .filter((network) => network.family === family)
      .flatMap((network) =>
        ports.map(
          (range) =>
            `-A BERTH-OUTSIDE -s ${network.text} -p ${protocol} -m conntrack --ctstate DNAT` +
            ` --ctorigdstport ${portText(range)} --ctdir ORIGINAL -j RETURN`,
        ),
      ),
  );
  const { docker, podman } = KNOWN_BRIDGES;
  return [
    ...[...toMetadata(family), ...toFiles(family, nodes)].map((to) => `-A BERTH-USER ${to} -j BERTH-LINK`),
    ...[...docker, ...podman].map((bridge) => `-A BERTH-LINK -i ${bridge} -j REJECT`),
    "# interfaces, as Docker tells them: those of others, to metadata and files of nodes",
    "-A BERTH-LINK -j REJECT",
    "-A BERTH-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    ...[...docker, ...podman].map((bridge) => `-A BERTH-USER -i ${bridge} -j RETURN`),
    "# interfaces, as Docker tells them: from its bridges",
    ...docker.map((bridge) => `-A BERTH-USER -o ${bridge} -j BERTH-OUTSIDE`),
    "# interfaces, as Docker tells them: to its bridges, and between guests of others",
    "-A BERTH-USER -m conntrack --ctstate DNAT -j BERTH-OUTSIDE",
    "# interfaces, as Docker tells them: made since, by the names that it gives",
    "-A BERTH-GUESTS -m conntrack --ctstate DNAT -j BERTH-OUTSIDE",
    ...new Set(lines),
    "-A BERTH-OUTSIDE -j DROP",
  ];
}

/**
 * NFS of the cluster's nodes. What a container sends to another node has its own node's address, and a server believes a node whose
 * files are asked for (AUTH_SYS).
 */
const toFiles = (family: 4 | 6, nodes: readonly Network[]): string[] =>
  nodes
    .filter((network) => network.family === family)
    .map(({ text }) => `-d ${text} -p tcp --dport ${NFS_PORT}`);

/** The program that puts the rules in place. */
export const APPLY_SCRIPT = `#!/bin/bash
# Berth: puts its rules for what is forwarded and for what this node sends in place, each family at once. Safe to run at any time.
# Runs at boot, before and after each start of dockerd, after a restart of ufw, and when the rules change.
set -euo pipefail
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
known=${KNOWN_INTERFACES} folder=${DIR} others_rule=${OTHERS_RULE}
ray_to_bridges=${quote(RAY_TO_BRIDGES)}
monitoring_agent=${quote(MONITORING_AGENT)}

${dockerBridges}

${script("firewall-apply.sh")}
`;

const UNIT = `[Unit]
Description=Berth's rules for what is forwarded and sent
After=ufw.service
Before=docker.service
PartOf=ufw.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${APPLY}

[Install]
WantedBy=multi-user.target ufw.service
`;

const DROP_IN = `# Berth: no published port opens before its rules are there; then dockerd can say which bridges are its own.
[Service]
ExecStartPre=${APPLY}
ExecStartPost=-${APPLY} ask
`;

/** The body of the step; it needs `readerLibrary` before it. */
export function chainStep(policy: FirewallPolicy): string {
  return `
folder=${DIR} apply=${APPLY}
${script("forwarding-keep.sh")}
place 0644 ${DIR}/v4.rules firewall ${heredoc(firewallRules(4, policy))}
place 0644 ${DIR}/v6.rules firewall ${heredoc(firewallRules(6, policy))}
place 0755 ${APPLY} firewall ${heredoc(APPLY_SCRIPT)}
place 0644 /etc/systemd/system/berth-firewall.service firewall-unit ${heredoc(UNIT)}
place 0644 /etc/systemd/system/docker.service.d/10-berth-firewall.conf firewall-unit ${heredoc(DROP_IN)}
${script("firewall-start.sh")}
`;
}
