import {
  behindPrefix,
  isInterfaceAddress,
  type Network,
  networksOverlap,
  readIpv4Network,
  readNetwork,
} from "../../core/net";
import { isAddressOrPlaceholder, parseAddressPair } from "../machines/addresses";
import { WORKSPACE_NETWORK } from "../plan";
import type { Report } from "../problems";
import type { StackConfig } from "../schema";
import { freePool, POOL_CANDIDATES } from "./docker-networks";
import { FIRST_EPHEMERAL_PORT, namedRanges, overlaps, type PortPlan } from "./ports";

/** Networks, ports and who may reach them. Pure. */

/** Reports every entry that is no network. */
export function checkNetworks(path: string, list: readonly string[] | undefined, report: Report): void {
  for (const [i, text] of (list ?? []).entries()) {
    const read = readNetwork(text);
    if ("problem" in read) report(`${path}[${i}]`, text, read.problem, read.allowed);
  }
}

export function checkNetwork(config: StackConfig, report: Report): void {
  const cidr = readIpv4Network(config.network.cidr);
  if (!cidr || cidr.prefix < 16 || cidr.prefix > 27) {
    const behind = behindPrefix(config.network.cidr);
    report(
      "network.cidr",
      config.network.cidr,
      behind?.problem ?? "is not a network",
      behind?.allowed ?? 'an IPv4 network from /16 to /27 such as "10.88.0.0/24"',
    );
    return;
  }
  const workspaces = readIpv4Network(WORKSPACE_NETWORK);
  if (workspaces && networksOverlap(cidr, workspaces))
    report(
      "network.cidr",
      config.network.cidr,
      `overlaps ${WORKSPACE_NETWORK}, which the workspaces of each node use`,
      "another private network",
    );
}

export function checkFirewall(config: StackConfig, report: Report): void {
  checkNetworks("firewall.allowSsh", config.firewall.allowSsh, report);
  checkNetworks("firewall.allowUsers", config.firewall.allowUsers, report);
  if (config.firewall.allowSsh?.length === 0)
    report(
      "firewall.allowSsh",
      [],
      "would lock Berth itself out",
      "at least the network that the operator connects from",
    );
  for (const [i, rule] of config.firewall.rules.entries())
    checkNetworks(`firewall.rules[${i}].from`, rule.from, report);
}

export function checkPorts(ports: PortPlan, report: Report): void {
  const ranges = namedRanges(ports);
  for (const r of ranges) {
    const bare = r.path.replace(/^berth:/, "");
    if (r.start > r.end) report(bare, `${r.start}-${r.end}`, "ends before it starts", "start at most end");
    if (r.end >= FIRST_EPHEMERAL_PORT)
      report(
        bare,
        r.start === r.end ? r.start : `${r.start}-${r.end}`,
        `reaches into the kernel's ephemeral ports (from ${FIRST_EPHEMERAL_PORT})`,
        `ports below ${FIRST_EPHEMERAL_PORT}`,
      );
  }
  for (const [a, b] of overlaps(ranges)) {
    // The one that a configuration can move.
    const movable = b.path.startsWith("berth:") ? b : a;
    report(
      movable.path.replace(/^berth:/, ""),
      `${movable.start}-${movable.end}`,
      `${a.what} (${a.start}-${a.end}) and ${b.what} (${b.start}-${b.end}) overlap`,
      "ranges that do not meet",
    );
  }
}

/** Who reaches the machines and the workspaces, and what is left for Docker. */
export function checkReach(config: StackConfig, report: Report): void {
  checkAllowSsh(config, report);
  checkWorkspaceAddress(config, report);
  checkPool(config, report);
}

/** Configured machines cannot be asked for their network: who may sign in has to be said. */
function checkAllowSsh(config: StackConfig, report: Report): void {
  const remote = config.nodes.some((node) => node.kind !== "local");
  if (!remote || config.firewall.allowSsh || config.digitalocean?.allowSshFrom?.length) return;
  report(
    "firewall.allowSsh",
    undefined,
    "is missing: the firewall would lock Berth itself out of the machines",
    'the networks that operators connect from, such as ["192.0.2.0/24"]; ["0.0.0.0/0", "::/0"] is everybody with the key',
  );
}

function checkWorkspaceAddress(config: StackConfig, report: Report): void {
  if (config.workspaces.address !== "public") return;
  const used = config.nodes.filter(({ name }) => config.users.some((user) => user.node === name));
  checkPublicAddress(
    config,
    used.map(({ name }) => name),
    "workspaces.address",
    report,
  );
}

/**
 * Ports can be published on an address of the machine's own alone.
 *
 * @param nodes names of those that are to publish at their public address
 * @param at the key that says so
 */
export function checkPublicAddress(
  config: StackConfig,
  nodes: readonly string[],
  at: string,
  report: Report,
): void {
  const rule = '"private", or nodes whose public address is on the machine itself';
  for (const [i, node] of config.nodes.entries()) {
    if (!nodes.includes(node.name)) continue;
    if (node.kind === "digitalocean" && node.reservedIp)
      report(
        at,
        "public",
        `cannot be used with nodes[${i}].reservedIp: DigitalOcean keeps that address outside`,
        rule,
      );
    if (node.kind !== "baremetal") continue;
    const pair = typeof node.address === "string" ? parseAddressPair(node.address) : node.address;
    if (pair && !isAddressOrPlaceholder(pair.public))
      report(at, "public", `cannot be used with nodes[${i}].address: ${pair.public} is a name`, rule);
  }
}

/** Docker's own networks need a place on every node that none of the stack's networks has. */
function checkPool(config: StackConfig, report: Report): void {
  const { digitalocean } = config;
  const given = config.nodes.flatMap((node) => {
    if (node.kind !== "baremetal") return [];
    return (typeof node.address === "string" ? parseAddressPair(node.address) : node.address)?.private ?? [];
  });
  const taken = [
    WORKSPACE_NETWORK,
    ...(hasLocal(config) ? [config.network.cidr] : []),
    ...(digitalocean ? [digitalocean.vpcCidr] : []),
    ...given,
  ].flatMap((text): (Network & { given: string })[] => {
    const read = readNetwork(text);
    return "problem" in read ? [] : [{ ...read, given: text }];
  });
  if (freePool(taken) !== undefined) return;
  report(
    hasLocal(config) ? "network.cidr" : digitalocean ? "digitalocean.vpcCidr" : "nodes[*].address",
    taken.slice(1).map((network) => network.given),
    "leave no room for Docker's own networks",
    `networks and private addresses that keep one of ${POOL_CANDIDATES.join(", ")} free`,
  );
}

export const hasLocal = (config: StackConfig) => config.nodes.some((node) => node.kind === "local");

export function checkFabric(config: StackConfig, report: Report): void {
  for (const [i, { fabric }] of config.nodes.entries()) {
    if (!fabric) continue;
    const path = `nodes[${i}].fabric`;
    if (fabric.interface !== undefined && !isInterface(fabric.interface))
      report(`${path}.interface`, fabric.interface, "is no network interface", INTERFACE_RULE);
    if (fabric.address === undefined) continue;
    if (fabric.interface === undefined)
      report(`${path}.interface`, undefined, "is missing: the address needs one", INTERFACE_RULE);
    if (!isInterfaceAddress(fabric.address))
      report(`${path}.address`, fabric.address, "is no address with a prefix", '"10.20.0.11/24"');
    const bare = fabric.address.split("/")[0];
    const twin = config.nodes.findIndex((n) => n.fabric?.address?.split("/")[0] === bare);
    if (twin < i)
      report(
        `${path}.address`,
        fabric.address,
        `is the fabric address of nodes[${twin}] too`,
        "an address of its own for every node",
      );
  }
}

/** IFNAMSIZ leaves 15 characters. None begins with what a program would take for an option or a hidden file. */
export const isInterface = (text: string) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(text);

export const INTERFACE_RULE = 'a name as "ip link" shows it, such as "eth1", at most 15 characters';
