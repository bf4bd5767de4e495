/**
 * Who may reach a node, and what its own processes may reach. Pure.
 *
 * Two paths lead into a node, and one policy is written for both:
 *  - to its own ports (INPUT): ufw, deny by default, with rules of ours marked `berth:<hash>`;
 *  - to published container ports (FORWARD, after Docker's DNAT, which ufw never sees): our chain BERTH-USER,
 *    reached from DOCKER-USER, which Docker creates if need be and never empties. What others forward is not ours.
 * Who answers on people's ports is decided on the way out (OUTPUT, chain BERTH-OUT, before ufw's), where the kernel knows
 * whose socket a packet is from: any process of the node's own network could listen there while a workspace is stopped.
 * The chains are filled before dockerd starts (ExecStartPre), so no start has an open moment, and dockerd does not
 * start when they cannot be filled. `ufw reload` leaves them alone, since ufw is kept from managing built-in chains.
 */
import { createHash } from "node:crypto";
import { type PortRange, WORKSPACE_NETWORK } from "../../config";
import type { Network } from "../../core/net";
import { checkRange, mergeRanges, parseNetwork, portGroups, portText } from "./networks";
import type { Outgoing } from "./outgoing";
import { type Allow, APPLY, chainStep } from "./published";
import { readerLibrary } from "./retire/before";
import { checkWhole, heredoc, quoteAll, StageOptionError } from "./shell";
import { renderStage } from "./stage";

export interface FirewallOptions {
  /** Networks that may open SSH to the node. It must hold the address that Pulumi connects from. */
  allowSsh: readonly string[];
  /** @default 22 */
  sshPort?: number;
  /** Networks that may reach the users' published ports. Empty: nobody from outside. */
  allowUsers: readonly string[];
  /** The users' blocks (and those of containers, where they are open to them). */
  userPorts: readonly PortRange[];
  /** Private addresses of all nodes of the cluster. */
  clusterAddresses: readonly string[];
  /** Ray's ports: open to the cluster's nodes and to this node's own workspaces, to nobody else. */
  clusterPorts: readonly PortRange[];
  /**
   * The uid of Ray's processes, which are on the node's own network: they reach Ray on all nodes and what is outside the
   * cluster, and nothing else of this node, its containers or the other nodes. @default Ray does not run here
   */
  rayUid?: number;
  /** The bridge between the node and its workspaces. @default WORKSPACE_NETWORK */
  workspaceNetwork?: string;
  /** More ports, on the node itself or published by a container. @default [] */
  rules?: readonly FirewallRule[];
}

export interface FirewallRule {
  port: number | PortRange;
  /** @default "tcp" */
  protocol?: "tcp" | "udp";
  from: readonly string[];
}

export function renderFirewall(options: FirewallOptions & { node: string }): string {
  const plan = firewallPlan(options);
  const rules = ufwRules([...plan.ssh, ...plan.host]);
  const generation = createHash("sha256").update(rules.join("\n")).digest("hex").slice(0, 12);
  const body = {
    ssh: checkSession(plan.ssh.flatMap((allow) => allow.from)),
    chain: `${readerLibrary}\n${chainStep(plan.published, plan.outgoing).trim()}`,
    ufw: `${readerLibrary}\n${ufwStep(rules, generation).trim()}`,
  };
  return renderStage({
    name: "firewall",
    node: options.node,
    uses: ["files", "apt"],
    steps: [
      {
        name: "install packages",
        body: "apt_install ufw iptables iproute2 python3",
        deadlineSeconds: 1200,
      },
      { name: "this connection stays allowed", body: body.ssh },
      { name: "rules for what is forwarded and sent", body: body.chain },
      { name: "rules for the node's own ports", body: body.ufw },
    ],
  });
}

interface FirewallPlanOut {
  ssh: Allow[];
  host: Allow[];
  published: Allow[];
  outgoing: Outgoing;
}

/** Below it only root listens (Linux, ip_unprivileged_port_start), so nobody can take the place of a service there. */
const FIRST_UNPRIVILEGED_PORT = 1024;

function firewallPlan(options: FirewallOptions): FirewallPlanOut {
  const networks = (values: readonly string[], where: string) =>
    values.map((value, i) => parseNetwork(value, `${where}[${i}]`));
  const ranges = (values: readonly PortRange[], where: string) =>
    mergeRanges(values.map((range, i) => checkRange(range, `${where}[${i}]`)));
  const workspaces = parseNetwork(options.workspaceNetwork ?? WORKSPACE_NETWORK, "firewall.workspaceNetwork");
  const sshPort = checkWhole(options.sshPort ?? 22, "firewall.sshPort", 1, 65535);
  const userPorts = ranges(options.userPorts, "firewall.userPorts");
  const clusterPorts = ranges(options.clusterPorts, "firewall.clusterPorts");
  const allowSsh = networks(options.allowSsh, "firewall.allowSsh");
  if (allowSsh.length === 0) {
    throw new StageOptionError(
      "firewall.allowSsh",
      [],
      "one network or more, else nobody can reach the node",
    );
  }
  const allow = (ports: PortRange[], from: Network[], protocol: "tcp" | "udp" = "tcp"): Allow[] =>
    ports.length === 0 || from.length === 0 ? [] : [{ ports, protocol, from }];
  const extra = (options.rules ?? []).flatMap((rule, i) => {
    const where = `firewall.rules[${i}]`;
    const port = typeof rule.port === "number" ? { start: rule.port, end: rule.port } : rule.port;
    if (rule.protocol !== undefined && !["tcp", "udp"].includes(rule.protocol)) {
      throw new StageOptionError(`${where}.protocol`, rule.protocol, "tcp, udp");
    }
    return allow([checkRange(port, `${where}.port`)], networks(rule.from, `${where}.from`), rule.protocol);
  });
  const nodes = networks(options.clusterAddresses, "firewall.clusterAddresses");
  const users = networks(options.allowUsers, "firewall.allowUsers");
  const openPorts = mergeRanges(extra.flatMap(({ protocol, ports }) => (protocol === "tcp" ? ports : [])));
  return {
    ssh: allow([{ start: sshPort, end: sshPort }], allowSsh),
    host: [
      ...allow(clusterPorts, [...nodes, workspaces]),
      // People's ports are reached by forwarding, but for two cases in which Docker's own proxy answers on the node: a
      // workspace that asks for a port of its own node, and IPv6, which Docker forwards from version 27 on.
      ...allow(userPorts, [workspaces, ...users.filter(({ family }) => family === 6)]),
      ...extra,
    ],
    published: [...allow(userPorts, users), ...extra],
    outgoing: {
      userPorts,
      openPorts: openPorts.flatMap(({ start, end }) =>
        end < FIRST_UNPRIVILEGED_PORT ? [] : [{ start: Math.max(start, FIRST_UNPRIVILEGED_PORT), end }],
      ),
      ...(options.rayUid === undefined
        ? {}
        : {
            ray: {
              uid: checkWhole(options.rayUid, "firewall.rayUid", 1, 65533),
              ports: clusterPorts,
              nodes,
              workspaces,
              refused: mergeRanges([
                { start: 1, end: FIRST_UNPRIVILEGED_PORT - 1 },
                { start: sshPort, end: sshPort },
                ...userPorts,
                ...openPorts,
              ]),
            },
          }),
    },
  };
}

/** `proto tcp from 10.0.0.0/8 to any port 22`: one ufw rule each, without duplicates. */
function ufwRules(allows: readonly Allow[]): string[] {
  const lines = allows.flatMap(({ ports, protocol, from }) =>
    from.flatMap((network) =>
      portGroups(ports).map(
        (group) => `proto ${protocol} from ${network.text} to any port ${group.map(portText).join(",")}`,
      ),
    ),
  );
  return [...new Set(lines)];
}

/** SSH must stay open to the address that this very connection comes from. */
function checkSession(allowed: readonly Network[]): string {
  return `
from=\${SSH_CONNECTION:-}
from=\${from%% *}
if [ -z "$from" ]; then
  # Not over SSH: nothing to cut.
  return 0
fi
python3 - "$from" ${quoteAll(allowed.map((network) => network.text))} <<'PYTHON'
import ipaddress, sys
address = ipaddress.ip_address(sys.argv[1].partition("%")[0])
address = getattr(address, "ipv4_mapped", None) or address
networks = [ipaddress.ip_network(text) for text in sys.argv[2:]]
if not any(address in network for network in networks):
    sys.exit("firewall.allowSsh does not hold %s, the address that this connection comes from: "
             "it would be shut out. It holds %s; add the network of %s"
             % (address, ", ".join(map(str, networks)), address))
PYTHON
`;
}

/**
 * ufw knows no set of rules, only single ones: the new ones are added with the new mark, then those with an old
 * mark go, so nothing that stays allowed is shut for a moment. Rules without our mark are the operator's: kept.
 */
function ufwStep(rules: readonly string[], generation: string): string {
  return `
defaults=/etc/default/ufw
setting() {
  if ! grep -q -x -F -- "$1=$2" "$defaults"; then
    sed -e "/^$1=/d" "$defaults" >"$work/ufw"
    printf '%s=%s\\n' "$1" "$2" >>"$work/ufw"
    place 0644 "$defaults" ufw <"$work/ufw"
  fi
}
# With MANAGE_BUILTINS=yes a reload of ufw would empty Docker's chains and ours.
setting MANAGE_BUILTINS no
setting IPV6 yes
setting DEFAULT_INPUT_POLICY '"DROP"'
setting DEFAULT_OUTPUT_POLICY '"ACCEPT"'
# Whoever had ufw on has decided about FORWARD; else see berth-others in the rules for published ports.
forward=
if [ "$(before ufw)" = active ]; then
  forward=$(before_file ufwDefaults | sed -n 's/^DEFAULT_FORWARD_POLICY=//p' | tail -n 1)
fi
setting DEFAULT_FORWARD_POLICY "\${forward:-"DROP"}"
mark=berth:${generation}
wanted=${rules.length}
shown=$(ufw show added)
mine() { grep -e " comment 'berth:" <<<"$shown" || true; }
marked() { grep -c -e " comment '$mark'" <<<"$shown" || true; }
if [ "$(marked)" != "$wanted" ]; then
  while IFS= read -r rule; do
    read -r -a words <<<"$rule"
    ufw allow "\${words[@]}" comment "$mark" </dev/null
  done ${heredoc(rules.join("\n"))}
  changed 'ufw rules'
  shown=$(ufw show added)
fi
while IFS= read -r line; do
  case "$line" in
    '' | *" comment '$mark'") ;;
    *)
      line=\${line#ufw }
      read -r -a words <<<"\${line% comment *}"
      ufw --force delete "\${words[@]}" </dev/null
      changed 'ufw rules'
      ;;
  esac
done <<<"$(mine)"
if [ "$(mine | wc -l)" != "$wanted" ]; then shown=$(ufw show added); fi
if [ "$(marked)" != "$wanted" ] || [ "$(mine | wc -l)" != "$wanted" ]; then
  fail "ufw does not hold the $wanted rules of Berth: $shown"
fi
status=$(ufw status | head -n 1)
if [ "$status" != 'Status: active' ]; then
  ufw --force enable
  systemctl enable -q ufw.service
  settled ufw
  changed 'ufw enabled'
  # The rule that lets others forward stands behind those that ufw has put there now.
  ${APPLY}
elif pending ufw; then
  ufw reload
  settled ufw
fi
if ! systemctl is-active -q ufw.service; then systemctl start ufw.service; fi
fact_json rules "$wanted"
fact_json otherRules "$(grep -c -e '^ufw ' <<<"$shown" | awk -v ours="$wanted" '{print $1 - ours}')"
`;
}
