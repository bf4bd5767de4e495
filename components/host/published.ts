/**
 * The rules beside ufw's, and the script that keeps them in place on a node. What is forwarded is written here: published
 * ports are guarded, everything else stays with whose it is. What the node itself sends is in outgoing.ts. Pure.
 *
 * Guarded is a packet whose destination was rewritten (`--ctstate DNAT`: a published port, whichever tool published
 * it), and one sent straight to a bridge of Docker's, past its ports. What virtual machines, VPNs, routes and other
 * container tools forward passes our chains by, and meets what their owners wrote.
 */

import type { PortRange } from "../../config";
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
import { heredoc, quote } from "./shell";

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

/** All of our rules, one family, for iptables-restore. */
export function firewallRules(family: 4 | 6, allows: readonly Allow[], outgoing: Outgoing): string {
  return [
    "*filter",
    ...CHAINS.map((chain) => `:${chain} - [0:0]`),
    ...forwardedRules(family, allows),
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
 * No container reaches the provider's metadata service (BERTH-LINK); guests of others do, as they did.
 */
function forwardedRules(family: 4 | 6, allows: readonly Allow[]): string[] {
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
    ...toMetadata(family).map((to) => `-A BERTH-USER ${to} -j BERTH-LINK`),
    ...[...docker, ...podman].map((bridge) => `-A BERTH-LINK -i ${bridge} -j REJECT`),
    "# interfaces, as Docker tells them: those of others, to metadata",
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

/** Its argument `ask`: dockerd has just started, and systemd does not call it active before this ends. */
export const APPLY_SCRIPT = `#!/bin/bash
# Berth: puts its rules for what is forwarded and for what this node sends in place, each family at once. Safe to run at any time.
# Runs at boot, before and after each start of dockerd, after a restart of ufw, and when the rules change.
set -euo pipefail
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
known=${KNOWN_INTERFACES}

${dockerBridges}

links() { ip -o link show "$@" 2>/dev/null | sed -n 's/^[0-9]*: \\([^:@ ]*\\)[:@].*/\\1/p'; }

# True for a bridge with nothing on it but guests: pairs to other namespaces (veth) and virtual machines (tun, tap). One
# without any may get the machine's own network card next.
only_guests() {
  local all virtual
  all=$(links master "$1" | wc -l)
  virtual=$({ links master "$1" type veth; links master "$1" type tun; } | wc -l)
  [ "$all" -gt 0 ] && [ "$all" = "$virtual" ]
}

# Lines "docker NAME", "guests NAME", "other NAME". Where Docker cannot be asked, the last answer counts: an interface
# that is in none of the lines is treated as one that Docker may have made since.
look() {
  local bridges name
  bridges=$(docker_bridges) || return 0
  {
    sed '/^$/d; s/^/docker /' <<<"$bridges"
    links nomaster | { grep -v -x -F -e lo -f <(printf '%s\\n' "$bridges" | sed '/^$/d') || true; } | sed 's/^/other /'
    for name in $(links type bridge); do
      if ! grep -q -x -F -e "$name" <<<"$bridges" && only_guests "$name"; then printf 'guests %s\\n' "$name"; fi
    done
  } >"$known.new"
  mv -f -T -- "$known.new" "$known"
}

# KIND FORMAT [BEGIN]: the format once for each name of the kind, or for those with this beginning.
each() {
  local kind name
  if [ ! -f "$known" ]; then return 0; fi
  while read -r kind name; do
    if [ "$kind" != "$1" ] || [[ $name != "\${3:-}"* ]]; then continue; fi
    # iptables takes a name of 15 letters at most, and reads + at its end as any rest.
    if [[ ! $name =~ ^[A-Za-z0-9_.:@-]{1,15}$ ]]; then
      echo "no rule is written for the interface $name: its name holds more than letters, digits, and _.:@-" >&2
      continue
    fi
    # shellcheck disable=SC2059 # the formats are those below
    printf -- "$2\\n" "$name"
  done <"$known"
}

# FILE: DigitalOcean's monitoring agent, where it is installed, asks for the machine's id; it runs as nobody.
agent() {
  local name uid
  case $1 in *v4.rules) ;; *) return 0 ;; esac
  name=$(sed -n 's/^User=//p' /etc/systemd/system/do-agent.service 2>/dev/null | tail -n 1) || return 0
  uid=$(id -u -- "$name" 2>/dev/null) || return 0
  printf -- '-A BERTH-OUT -d 169.254.169.254 -p tcp --dport 80 -m owner --uid-owner %s -j RETURN\n' "$uid"
}

rules() {
  local line
  while IFS= read -r line; do
    case "$line" in
      '#'*': from its bridges') each docker '-A BERTH-USER -i %s -j RETURN' ;;
      '#'*', to metadata')
        each guests '-A BERTH-LINK -i %s -j RETURN'
        each other '-A BERTH-LINK -i %s -j RETURN'
        ;;
      ${quote(RAY_TO_BRIDGES)}) each docker '-A BERTH-RAY -o %s -j REJECT' ;;
      ${quote(MONITORING_AGENT)}) agent "$1" ;;
      '#'*': made since'*)
        # Docker's own isolation judges what comes from such a bridge; what is known not to be Docker's is let by.
        if [ -f "$known" ]; then
          each other '-A BERTH-USER -o %s -j RETURN' br-
          each other '-A BERTH-USER -i %s -o br-+ -j BERTH-OUTSIDE' br-
          printf -- '-A BERTH-%s\\n' 'USER -i br-+ -j RETURN' 'USER -o br-+ -j BERTH-OUTSIDE' 'GUESTS -o br-+ -j BERTH-OUTSIDE'
        fi
        ;;
      '#'*)
        each docker '-A BERTH-USER -o %s -j BERTH-OUTSIDE'
        each guests '-A BERTH-USER -i %s -g BERTH-GUESTS'
        each other '-A BERTH-GUESTS -o %s -j RETURN'
        ;;
      *) printf '%s\\n' "$line" ;;
    esac
  done <"$1"
}

# TOOL FAMILY: what nobody decides is forwarded on, last of all, where that was the policy before ufw was switched on.
others() {
  local rule=(FORWARD -m comment --comment ${OTHERS_RULE} -j ACCEPT) have
  have=$("$1" -w 10 -S FORWARD)
  if ! grep -q -s -x -e "$2" ${DIR}/forward; then
    while "$1" -w 10 -D "\${rule[@]}" 2>/dev/null; do :; done
  elif [[ \${have##*$'\\n'} != *${OTHERS_RULE}* ]]; then
    # The new one first, so that no packet finds none; then the first of the two goes.
    "$1" -w 10 -A "\${rule[@]}"
    if [[ $have == *${OTHERS_RULE}* ]]; then "$1" -w 10 -D "\${rule[@]}"; fi
  fi
}

# TOOL: takes the last of our rules in OUTPUT away, so that no moment is without one.
last() {
  "$1" -w 10 -D OUTPUT "$("$1" -w 10 -S OUTPUT | sed 1d | grep -n -x -e '-A OUTPUT -j BERTH-OUT' | tail -n 1 | cut -d : -f 1)"
}

apply() {
  local tool=$1 file=$2
  "$tool" -w 10 -n -L DOCKER-USER >/dev/null 2>&1 || "$tool" -w 10 -N DOCKER-USER
  rules "$file" | "$tool-restore" -w 10 -n
  if [ "$("$tool" -w 10 -S DOCKER-USER | sed -n 2p)" != '-A DOCKER-USER -j BERTH-USER' ]; then
    while "$tool" -w 10 -D DOCKER-USER -j BERTH-USER 2>/dev/null; do :; done
    "$tool" -w 10 -I DOCKER-USER 1 -j BERTH-USER
  fi
  # Before ufw's, which accept whatever goes to loopback.
  if [ "$("$tool" -w 10 -S OUTPUT | sed -n 2p)" != '-A OUTPUT -j BERTH-OUT' ]; then
    "$tool" -w 10 -I OUTPUT 1 -j BERTH-OUT
    while [ "$("$tool" -w 10 -S OUTPUT | grep -c -x -e '-A OUTPUT -j BERTH-OUT')" -gt 1 ]; do last "$tool"; done
  fi
  "$tool" -w 10 -C FORWARD -j DOCKER-USER 2>/dev/null || "$tool" -w 10 -I FORWARD 1 -j DOCKER-USER
  others "$tool" "$3"
}

# A question to the socket of a dockerd that waits for this script would never be answered.
if [ "\${1:-}" = ask ] || systemctl is-active -q docker.service; then look; fi
apply iptables ${DIR}/v4.rules 4
# A kernel without IPv6 has nothing to close.
if [ -e /proc/net/if_inet6 ]; then apply ip6tables ${DIR}/v6.rules 6; fi
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

/**
 * ufw has one policy of FORWARD for both families, and sets it at each start; Docker closes IPv4 alone. A family that
 * let everything through before, and was switched on to forward at all, goes on by a rule at the end of FORWARD.
 * A ufw that was active before keeps its own policy, so nothing is to be kept beside it. Needs `readerLibrary`.
 */
const KEEP = `
for family in 4 6; do
  if [ "$(before ufw)" != active ] && [ "$(before "forward$family")" = ACCEPT ] && [ "$(before "forwarding$family")" = 1 ]; then
    printf '%s\\n' "$family"
  fi
done >"$work/forward"
place 0644 ${DIR}/forward firewall <"$work/forward"
`.trim();

/** The body of the step; it needs \`readerLibrary\` before it. */
export function chainStep(published: readonly Allow[], outgoing: Outgoing): string {
  return `
${KEEP}
place 0644 ${DIR}/v4.rules firewall ${heredoc(firewallRules(4, published, outgoing))}
place 0644 ${DIR}/v6.rules firewall ${heredoc(firewallRules(6, published, outgoing))}
place 0755 ${APPLY} firewall ${heredoc(APPLY_SCRIPT)}
place 0644 /etc/systemd/system/berth-firewall.service firewall-unit ${heredoc(UNIT)}
place 0644 /etc/systemd/system/docker.service.d/10-berth-firewall.conf firewall-unit ${heredoc(DROP_IN)}
if pending firewall-unit; then
  systemctl daemon-reload
  systemctl enable -q berth-firewall.service
  settled firewall-unit
fi
if pending firewall || ! systemctl is-active -q berth-firewall.service; then
  systemctl restart berth-firewall.service
  settled firewall
else
  # Puts right what somebody changed by hand.
  ${APPLY}
fi
`;
}
