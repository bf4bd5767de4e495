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
import { type Allow, APPLY, chainStep, type FirewallPolicy } from "./published";
import { readerLibrary } from "./retire/before";
import { scriptsOf } from "./script";
import { checkWhole, heredoc, quoteAll, StageOptionError } from "./shell";
import { renderStage } from "./stage";

const script = scriptsOf(__dirname);

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
  /** More ports, on the node itself or published by a container. @default [] */
  rules?: readonly FirewallRule[];
}

export interface FirewallRule {
  port: number | PortRange;
  /** @default "tcp" */
  protocol?: "tcp" | "udp";
  from: readonly string[];
  /** Of what containers publish there alone. @default what listens on the node itself too */
  published?: boolean;
}

export function renderFirewall(options: FirewallOptions & { node: string }): string {
  const plan = firewallPlan(options);
  const rules = ufwRules([...plan.ssh, ...plan.host]);
  const generation = createHash("sha256").update(rules.join("\n")).digest("hex").slice(0, 12);
  const body = {
    ssh: checkSession(plan.ssh.flatMap((allow) => allow.from)),
    chain: `${readerLibrary}\n${chainStep(plan).trim()}`,
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

interface FirewallPlanOut extends FirewallPolicy {
  ssh: Allow[];
  host: Allow[];
}

/** Below it only root listens (Linux, ip_unprivileged_port_start), so nobody can take the place of a service there. */
const FIRST_UNPRIVILEGED_PORT = 1024;

function firewallPlan(options: FirewallOptions): FirewallPlanOut {
  const networks = (values: readonly string[], where: string) =>
    values.map((value, i) => parseNetwork(value, `${where}[${i}]`));
  const ranges = (values: readonly PortRange[], where: string) =>
    mergeRanges(values.map((range, i) => checkRange(range, `${where}[${i}]`)));
  const workspaces = parseNetwork(WORKSPACE_NETWORK, "firewall.workspaces");
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
  const rules = (options.rules ?? []).map((rule, i) => {
    const where = `firewall.rules[${i}]`;
    const port = typeof rule.port === "number" ? { start: rule.port, end: rule.port } : rule.port;
    if (rule.protocol !== undefined && !["tcp", "udp"].includes(rule.protocol)) {
      throw new StageOptionError(`${where}.protocol`, rule.protocol, "tcp, udp");
    }
    const from = networks(rule.from, `${where}.from`);
    return {
      published: rule.published === true,
      allows: allow([checkRange(port, `${where}.port`)], from, rule.protocol),
    };
  });
  const extra = rules.flatMap(({ allows }) => allows);
  const own = rules.flatMap(({ published, allows }) => (published ? [] : allows));
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
      ...own,
    ],
    published: [...allow(userPorts, users), ...extra],
    nodes,
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
const checkSession = (allowed: readonly Network[]): string =>
  `allowed=(${quoteAll(allowed.map((network) => network.text))})
cat >"$work/session.py" ${heredoc(script("session.py"))}
${script("session.sh")}`;

const ufwStep = (rules: readonly string[], generation: string): string =>
  `mark=berth:${generation} wanted=${rules.length} apply=${APPLY}
cat >"$work/ufw-rules" ${heredoc(rules.join("\n"))}
${script("ufw.sh")}`;
