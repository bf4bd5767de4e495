import { LINUX_LOGIN } from "../core/names";
import {
  behindPrefix,
  isAddress,
  isHost,
  isPrivateAddress,
  type Network,
  networksOverlap,
  PRIVATE_IPV4,
  readIpv4Network,
  readNetwork,
  sameAddress,
} from "../core/net";
import { isAddressOrPlaceholder, parseAddressPair } from "./addresses";
import { INTERFACE_RULE, isInterface } from "./check-storage";
import { checkNetworks, freePool, POOL_CANDIDATES } from "./networks";
import { WORKSPACE_NETWORK } from "./plan";
import type { Report } from "./problems";
import { accessPath, resolveAccess } from "./resolve";
import type { BaremetalNodeConfig, StackConfig } from "./schema";
import { sizeText } from "./schema-base";
import { checkPublicKey, HOST_KEY_TYPES, hostKeyProblem, PLAIN_PATH } from "./ssh-keys";

/** Nodes that are real machines: bare metal and droplets. Pure. */

export function checkMachines(config: StackConfig, report: Report): void {
  checkAddresses(config, report);
  checkBaremetal(config, report);
  checkDigitalocean(config, report);
  checkAllowSsh(config, report);
  checkWorkspaceAddress(config, report);
  checkPool(config, report);
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

/** Ports can be published on an address of the machine's own alone. */
function checkWorkspaceAddress(config: StackConfig, report: Report): void {
  if (config.workspaces.address !== "public") return;
  const rule = '"private", or nodes whose public address is on the machine itself';
  for (const [i, node] of config.nodes.entries()) {
    if (!config.users.some((user) => user.node === node.name)) continue;
    const at = "workspaces.address";
    if (node.kind === "digitalocean" && node.reservedIp)
      report(
        at,
        "public",
        `goes not with nodes[${i}].reservedIp: DigitalOcean keeps that address outside`,
        rule,
      );
    if (node.kind !== "baremetal") continue;
    const pair = typeof node.address === "string" ? parseAddressPair(node.address) : node.address;
    if (pair && !isAddressOrPlaceholder(pair.public))
      report(at, "public", `goes not with nodes[${i}].address: ${pair.public} is a name`, rule);
  }
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
        "goes not with a jump host: ssh's ProxyCommand, which a shell reads, cannot carry this path",
        "a path of letters, digits and _ @ + = : , . / ~ - alone",
      );
    if (keyFile !== undefined && access.agent)
      once(accessPath(node, i, "agent"), true, "goes with a keyFile", "either keyFile or agent: true");
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

const GiB = 2 ** 30;

function checkDigitalocean(config: StackConfig, report: Report): void {
  const { digitalocean } = config;
  const droplets = config.nodes.some((node) => node.kind === "digitalocean");
  if (droplets && !digitalocean)
    report("digitalocean", undefined, "is missing", "{ region, … }: what the droplets of the stack share");
  if (digitalocean) checkShared(config, digitalocean, report);
  const names = new Map<string, string>();
  for (const [i, node] of config.nodes.entries()) {
    if (node.kind !== "digitalocean") continue;
    const path = `nodes[${i}]`;
    slug(`${path}.size`, node.size, SLUG, "size", "s-2vcpu-4gb", report);
    slug(`${path}.image`, node.image, SLUG, "image", "debian-13-x64", report);
    if (node.region !== undefined) slug(`${path}.region`, node.region, REGION, "region", "fra1", report);
    const region = node.region ?? digitalocean?.region;
    if (digitalocean && region !== digitalocean.region)
      report(
        `${path}.region`,
        region,
        "is another region than that of the stack's private network",
        `${JSON.stringify(digitalocean.region)}; a private network of DigitalOcean lies in one region`,
      );
    for (const [k, volume] of node.volumes.entries()) {
      const at = `${path}.volumes[${k}]`;
      if (!/^[a-z][a-z0-9-]{0,63}$/.test(volume.name))
        report(
          `${at}.name`,
          volume.name,
          "is no name of a volume",
          "lower-case letters, digits and '-', a letter first, at most 64",
        );
      const twin = names.get(volume.name);
      if (twin)
        report(`${at}.name`, volume.name, `is the name of ${twin} too`, "a name of its own for every volume");
      names.set(volume.name, at);
      if (volume.size % GiB !== 0 || volume.size < GiB || volume.size > 16384 * GiB)
        report(
          `${at}.size`,
          sizeText(volume.size),
          "is no size of a volume",
          'whole GiB from "1GiB" to "16TiB"',
        );
    }
  }
}

/**
 * Slugs as DigitalOcean's API lists them, such as `so1_5-2vcpu-16gb`; an image may be the number of a snapshot. Which
 * there are the catalogue knows, and is asked: this keeps out what can be none.
 */
const REGION = /^[a-z]{3}\d$/;
const SLUG = /^[a-z0-9]+([-._][a-z0-9]+)*$/;

function slug(
  path: string,
  value: string,
  rule: RegExp,
  what: string,
  example: string,
  report: Report,
): void {
  if (!rule.test(value))
    report(
      path,
      value,
      `is no slug of a ${what}`,
      `a slug as "doctl compute ${what} list" shows it, such as "${example}"`,
    );
}

/** DigitalOcean takes 64 KiB of user data; a quarter is kept for what Berth writes there. */
const MOST_KEY_BYTES = 48 * 1024;

function checkShared(
  config: StackConfig,
  shared: NonNullable<StackConfig["digitalocean"]>,
  report: Report,
): void {
  const path = "digitalocean";
  slug(`${path}.region`, shared.region, REGION, "region", "fra1", report);
  const cidr = readIpv4Network(shared.vpcCidr);
  const behind = behindPrefix(shared.vpcCidr);
  // No private range is smaller than /16: a network whose first address is in one lies in it whole.
  if (!cidr || !isPrivateAddress(cidr.first.toString()) || cidr.prefix < 16 || cidr.prefix > 28)
    report(
      `${path}.vpcCidr`,
      shared.vpcCidr,
      behind?.problem ?? "is no private network that DigitalOcean takes",
      behind?.allowed ?? `a network from /16 to /28 in ${PRIVATE_IPV4.join(", ")}, such as "10.110.0.0/20"`,
    );
  else
    for (const other of [WORKSPACE_NETWORK, ...(hasLocal(config) ? [config.network.cidr] : [])]) {
      const taken = readIpv4Network(other);
      if (taken && networksOverlap(cidr, taken))
        report(
          `${path}.vpcCidr`,
          shared.vpcCidr,
          `overlaps ${other}`,
          "a network that Berth does not use elsewhere",
        );
    }
  for (const [k, tag] of shared.tags.entries())
    if (!/^[A-Za-z0-9:_-]{1,255}$/.test(tag))
      report(`${path}.tags[${k}]`, tag, "is no tag", "letters, digits, ':', '-' and '_', at most 255");
  if (
    shared.domain !== undefined &&
    (!isHost(shared.domain) || !shared.domain.includes(".") || isAddress(shared.domain))
  )
    report(`${path}.domain`, shared.domain, "is no domain", 'a domain such as "cluster.example.com"');
  for (const [k, key] of shared.sshKeys.entries()) checkPublicKey(`${path}.sshKeys[${k}]`, key, report);
  const bytes = shared.sshKeys.reduce((sum, key) => sum + Buffer.byteLength(key), 0);
  if (bytes > MOST_KEY_BYTES)
    report(
      `${path}.sshKeys`,
      `${shared.sshKeys.length} keys, ${bytes} bytes`,
      "are more than a droplet's user data can hold",
      `at most ${MOST_KEY_BYTES} bytes in all, such as ${Math.floor(MOST_KEY_BYTES / 100)} Ed25519 keys`,
    );
  checkNetworks(`${path}.allowSshFrom`, shared.allowSshFrom, report);
}

const hasLocal = (config: StackConfig) => config.nodes.some((node) => node.kind === "local");
