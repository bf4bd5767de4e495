import { isIPv4 } from "node:net";
import { LINUX_LOGIN, NODE_NAME, USER_NAME } from "../../core/names";
import {
  hostAddress,
  isAddress,
  isHost,
  isInside,
  isPrivateAddress,
  PRIVATE_IPV4,
  readIpv4Network,
  sameAddress,
} from "../../core/net";
import { INTERFACE_RULE, isInterface } from "../network/check";
import { type Report, reportTwin } from "../problems";
import { rayMemory } from "../ray/resolve";
import type { BaremetalNodeConfig, LocalNodeConfig, StackConfig } from "../schema";
import { sizeText } from "../values";
import { parseAddressPair } from "./addresses";
import { accessPath, resolveAccess } from "./resolve";
import { HOST_KEY_TYPES, hostKeyProblem, PLAIN_PATH } from "./ssh-keys";

/** The nodes, and those of them that are machines which somebody has. Pure. */

export function checkMachines(config: StackConfig, report: Report): void {
  checkAddresses(config, report);
  checkBaremetal(config, report);
}

/** A name or address, and the options that ssh-keyscan needs to reach it. */
const scan = (host: string, port: number) =>
  `the line that "ssh-keyscan ${port === 22 ? "" : `-p ${port} `}-t ed25519 ${host}" prints, once it was compared ` +
  `with /etc/ssh/ssh_host_ed25519_key.pub on the machine; types: ${HOST_KEY_TYPES.join(", ")}`;

function checkHostKey(
  path: string,
  key: string | undefined,
  host: string,
  port: number,
  report: Report,
): void {
  if (key === undefined)
    report(
      path,
      undefined,
      "is missing: Berth does not sign in to a machine that it cannot recognise",
      scan(host, port),
    );
  else {
    const problem = hostKeyProblem(key);
    if (problem !== undefined) report(path, key.slice(0, 60), problem, scan(host, port));
  }
}

interface AddressAt {
  path: string;
  node: number;
  address: string;
}

/** No two nodes share an address; one machine's two addresses may be the same. */
function checkAddresses(config: StackConfig, report: Report): void {
  const all: AddressAt[] = [];
  for (const [node, one] of config.nodes.entries()) {
    const path = `nodes[${node}].address`;
    if (one.kind === "local") all.push({ path, node, address: one.address });
    if (one.kind !== "baremetal") continue;
    if (typeof one.address !== "string")
      for (const part of ["public", "private"] as const)
        all.push({ path: `${path}.${part}`, node, address: one.address[part] });
    const pair = typeof one.address === "string" ? parseAddressPair(one.address) : undefined;
    if (pair) all.push({ path, node, address: pair.public }, { path, node, address: pair.private });
  }
  for (const [i, one] of all.entries()) {
    if (config.nodes[one.node]?.kind === "local") continue;
    const twin = all.find(
      (other, k) =>
        k !== i && other.node < one.node && sameAddress(other.address) === sameAddress(one.address),
    );
    const later = all.find(
      (other) =>
        other.node > one.node &&
        config.nodes[other.node]?.kind === "local" &&
        sameAddress(other.address) === sameAddress(one.address),
    );
    const same = twin ?? later;
    if (same)
      report(
        one.path,
        one.address,
        `is an address of nodes[${same.node}] too`,
        "addresses of its own for every node",
      );
  }
}

function checkBaremetal(config: StackConfig, report: Report): void {
  // What all nodes inherit is said once.
  const said = new Set<string>();
  const once: Report = (path, ...rest) => {
    if (path.startsWith("baremetal.") && said.has(path)) return;
    said.add(path);
    report(path, ...rest);
  };
  for (const [i, node] of config.nodes.entries()) {
    if (node.kind !== "baremetal") continue;
    const host = checkPair(`nodes[${i}].address`, node, report);
    const access = resolveAccess(config, node);
    checkHostKey(`nodes[${i}].hostKey`, node.hostKey, host, access.port, report);
    const { user, keyFile, jump, privateInterface } = access;
    const login = (path: string, value: string) => {
      if (!LINUX_LOGIN.test(value))
        once(path, value, "is no Linux user name", "root, or a-z, 0-9, _ and -, a letter first, at most 32");
    };
    login(accessPath(node, i, "user"), user);
    if (keyFile !== undefined && !/^(\/|~\/)[^\r\n\0]+$/.test(keyFile))
      once(accessPath(node, i, "keyFile"), keyFile, "is no path of a file", '"/path" or "~/.ssh/id_ed25519"');
    else if (keyFile !== undefined && jump && !PLAIN_PATH.test(keyFile))
      once(
        accessPath(node, i, "keyFile"),
        keyFile,
        "cannot be used with a jump host: ssh's ProxyCommand, which a shell reads, cannot carry this path",
        "a path of letters, digits and _ @ + = : , . / ~ - alone",
      );
    if (keyFile !== undefined && access.agent)
      once(
        accessPath(node, i, "agent"),
        true,
        "cannot be used with a keyFile",
        "either keyFile or agent: true",
      );
    if (privateInterface !== undefined && !isInterface(privateInterface))
      once(
        accessPath(node, i, "privateInterface"),
        privateInterface,
        "is no network interface",
        INTERFACE_RULE,
      );
    if (!jump) continue;
    const at = accessPath(node, i, "jump");
    if (!isHost(jump.host)) once(`${at}.host`, jump.host, "is no host", "an address or a DNS name");
    if (jump.user !== undefined) login(`${at}.user`, jump.user);
    checkHostKey(`${at}.hostKey`, jump.hostKey, jump.host, jump.port ?? 22, once);
  }
}

/** Checks both addresses; gives the public one for messages. */
function checkPair(path: string, node: BaremetalNodeConfig, report: Report): string {
  const { address } = node;
  const pair = typeof address === "string" ? parseAddressPair(address) : address;
  const rule = '"PUBLIC:PRIVATE" such as "192.0.2.7:10.0.0.7", IPv6 in brackets: "[2001:db8::7]:[fd00::7]"';
  if (!pair) {
    report(path, address, "is no pair of addresses", rule);
    return node.name;
  }
  const at = (part: string) => (typeof address === "string" ? path : `${path}.${part}`);
  if (!isHost(pair.public))
    report(
      at("public"),
      pair.public,
      "is no address that can be reached",
      "an IPv4 or IPv6 address, or a DNS name",
    );
  if (!isAddress(pair.private)) report(at("private"), pair.private, "is no address", rule);
  else if (!isPrivateAddress(pair.private))
    report(
      at("private"),
      pair.private,
      "is no private address: Ray and workspaces would listen in public",
      `an address in ${PRIVATE_IPV4.join(", ")} or fc00::/7`,
    );
  return pair.public;
}

export function checkNodes(config: StackConfig, report: Report): void {
  const heads = config.nodes.filter((n) => n.role === "head").map((n) => n.name);
  if (heads.length !== 1)
    report(
      "nodes[*].role",
      heads,
      heads.length === 0 ? "no node is the head" : "more than one node is the head",
      'exactly one node with role "head"',
    );

  const small = config.nodes.reduce((least, node) => (node.memory < least.memory ? node : least));
  if (config.ray.enabled && rayMemory(config, small) > small.memory)
    report(
      "ray.memory",
      sizeText(rayMemory(config, small)),
      `is more than node "${small.name}" has`,
      `at most ${sizeText(small.memory)}, the least of all nodes`,
    );

  const userNames = new Set(config.users.map((u) => u.name));
  for (const [i, node] of config.nodes.entries()) {
    const path = `nodes[${i}]`;
    if (!NODE_NAME.test(node.name))
      report(
        `${path}.name`,
        node.name,
        "is no node name",
        "lower-case letters, digits and '-', from a letter to a letter or digit, at most 40",
      );
    reportTwin(config.nodes, i, { list: "nodes", what: "node", report });
    if (node.kind === "local") checkLocalAddress(config, i, node, report);
    if (node.autoExec) {
      if (!USER_NAME.test(node.autoExec.login))
        report(`${path}.autoExec.login`, node.autoExec.login, "is no login", "a Linux user name of the node");
      // Berth makes local nodes: it knows who is there. A server's preflight looks before anything is changed.
      else if (node.kind === "local" && node.autoExec.login !== "root")
        report(
          `${path}.autoExec.login`,
          node.autoExec.login,
          "is no login of a local node",
          '"root", the only one there',
        );
      const target = config.users.find((u) => u.name === node.autoExec?.user);
      if (!userNames.has(node.autoExec.user) || target?.node !== node.name)
        report(
          `${path}.autoExec.user`,
          node.autoExec.user,
          "has no workspace on this node",
          `a user of "${node.name}"`,
        );
    }
  }
}

/** A local node's address: in the stack's network, free, and its own. */
function checkLocalAddress(config: StackConfig, i: number, node: LocalNodeConfig, report: Report): void {
  const path = `nodes[${i}].address`;
  if (!isIPv4(node.address)) {
    report(path, node.address, "is no address", 'an IPv4 address such as "10.88.0.10"');
    return;
  }
  const same = config.nodes.findIndex((n) => n.kind === "local" && n.address === node.address);
  if (same < i)
    report(
      path,
      node.address,
      `is the address of nodes[${same}] too`,
      "an address of its own for every node",
    );
  const cidr = readIpv4Network(config.network.cidr);
  const taken =
    cidr && [hostAddress(cidr, 0), hostAddress(cidr, 1), hostAddress(cidr, 2)].includes(node.address);
  if (cidr && (!isInside(cidr, node.address) || taken))
    report(
      path,
      node.address,
      taken ? "is kept for the network, its gateway or its registry" : "is outside the stack's network",
      `an address in ${config.network.cidr}, from ${hostAddress(cidr, 3)} on`,
    );
}
