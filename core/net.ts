/**
 * Addresses and networks, IPv4 and IPv6: one rule for everybody who reads one. Pure.
 *
 * `node:net` says what an address is, for ipaddr.js takes `10.1` and `0x7f.1` too; ipaddr.js does the arithmetic.
 */
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Undefined for what is no address, and for one with a zone (`fe80::1%eth0`). */
function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return ipaddr.IPv4.parse(text);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // ipaddr.js takes `::1.2.3.4` for `::ffff:1.2.3.4`; the URL parser writes such an end in groups first.
  return ipaddr.IPv6.parse(new URL(`http://[${text}]/`).hostname.slice(1, -1));
}

const bitsOf = (address: Address) => (address.kind() === "ipv4" ? 32 : 128);

export const isAddress = (text: string) => parseAddress(text) !== undefined;

/** An address as a key for comparing: one spelling for each. What is no address, such as a name, in small letters. */
export const sameAddress = (text: string) => parseAddress(text)?.toString() ?? text.toLowerCase();

/** A host as it stands before a port: an IPv6 address in brackets (RFC 3986, 3.2.2). */
export const bracketed = (host: string) => (host.includes(":") ? `[${host}]` : host);

/** A host that SSH can dial: an address, or a DNS name (RFC 1123). */
export function isHost(text: string): boolean {
  return (
    isAddress(text) ||
    (text.length <= 253 &&
      !/^[\d.]+$/.test(text) &&
      /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(text))
  );
}

/** The private ranges of IPv4 (RFC 1918). */
export const PRIVATE_IPV4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] as const;

/** Inside a private range: RFC 1918, or a unique local address (RFC 4193, fc00::/7). */
export function isPrivateAddress(text: string): boolean {
  const range = parseAddress(text)?.range();
  return range === "private" || range === "uniqueLocal";
}

/** Ranges with a name of their own; all that ipaddr.js calls otherwise is reserved for something. */
const RANGE_WORDS: Record<string, string> = {
  loopback: "loopback: the machine itself",
  unspecified: "unspecified: the machine itself",
  private: "private",
  uniqueLocal: "private",
  linkLocal: "link-local: a network of one cable, and metadata services",
  carrierGradeNat: "of a provider's own network",
  multicast: "multicast",
  broadcast: "broadcast",
  ipv4Mapped: "an IPv4 address in the spelling of IPv6",
};

/** What the Internet's addresses of IPv6 begin with (RFC 4291, 2.4): `::7f00:1`, say, is none, whatever a list forgets. */
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR("2000::/3");

/** Azure's metadata service, in a range that is public elsewhere. */
const METADATA = ["168.63.129.16"];

/**
 * What an address is, where it is not one of the Internet's: `private`, `loopback: the machine itself`. Undefined for one
 * of the Internet. IPv6 addresses that stand for one of IPv4 (mapped, NAT64, 6to4, Teredo) count as special.
 */
export function specialRange(text: string): string | undefined {
  const address = parseAddress(text);
  if (address === undefined) return "no address";
  if (METADATA.includes(address.toString())) return "a metadata service's";
  const range = address.range();
  if (range !== "unicast") return RANGE_WORDS[range] ?? "reserved";
  return address instanceof ipaddr.IPv6 && !address.match(GLOBAL_IPV6) ? "reserved" : undefined;
}

/** An address with its prefix, such as `10.20.0.11/24`: what a network interface is given. */
export function isInterfaceAddress(text: string): boolean {
  const [, address = "", prefix] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const parsed = parseAddress(address);
  return parsed !== undefined && Number(prefix) >= 1 && Number(prefix) <= bitsOf(parsed);
}

/** @example { start: 20000, end: 29999 } */
export interface PortRange {
  /** The first one. */
  start: number;
  /** The last one, which is in it. */
  end: number;
}

export interface Network {
  family: 4 | 6;
  /** As written in rules: always with a prefix length. */
  text: string;
  first: Address;
  prefix: number;
}

export const NETWORK_RULE = "an IPv4 or IPv6 address or network, such as '10.0.0.0/8' or 'fd00::/8'";

const BEHIND_PREFIX = "has bits set behind its prefix";

/** What is wrong with a network whose only fault are bits behind its prefix; undefined for all others. */
export function behindPrefix(text: string): { problem: string; allowed: string } | undefined {
  const read = readNetwork(text);
  return "problem" in read && read.problem === BEHIND_PREFIX ? read : undefined;
}

/**
 * An address or a network in CIDR notation; an address counts as a network of one.
 *
 * @returns the network, or what is wrong and what is allowed: bits set behind the prefix are more often than not a
 * typing error, so they are refused and the network that was perhaps meant is named.
 */
export function readNetwork(text: string): Network | { problem: string; allowed: string } {
  const none = { problem: "is no network", allowed: NETWORK_RULE };
  const [, given = "", prefixText] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(given);
  if (address === undefined) return none;
  const bits = bitsOf(address);
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) return { ...none, allowed: `${NETWORK_RULE}, prefix length 0 to ${bits}` };
  const first = firstAddress(address, prefix);
  if (`${first}` !== `${address}`)
    return {
      problem: BEHIND_PREFIX,
      allowed: `${NETWORK_RULE}, with no bit set behind the prefix: '${first}/${prefix}', or the address '${given}'`,
    };
  return { family: bits === 32 ? 4 : 6, text: `${given}/${prefix}`, first, prefix };
}

const firstAddress = (address: Address, prefix: number): Address =>
  (address.kind() === "ipv4" ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(`${address}/${prefix}`);

/** Whether `address` is the first one of `subnet` that a machine can have: `10.1.0.1` of `10.1.0.0/16`, and of `10.1.2.3/16`. */
export function isFirstHost(subnet: string, address: string): boolean {
  const [, given = "", prefix] = /^([^/]*)\/(\d{1,3})$/.exec(subnet) ?? [];
  const inside = parseAddress(given);
  if (inside === undefined || Number(prefix) > bitsOf(inside)) return false;
  const bytes = firstAddress(inside, Number(prefix)).toByteArray();
  bytes.push((bytes.pop() ?? 0) + 1);
  return ipaddr.fromByteArray(bytes).toString() === sameAddress(address);
}

/** A network of IPv4 that is written with its prefix, such as `10.88.0.0/24`; undefined for all else. */
export function readIpv4Network(text: string): Network | undefined {
  const read = readNetwork(text);
  return text.includes("/") && "first" in read && read.family === 4 ? read : undefined;
}

export function networksOverlap(a: Network, b: Network): boolean {
  return a.family === b.family && a.first.match(b.first, Math.min(a.prefix, b.prefix));
}

/** Whether `inner`, a network or an address, lies in `outer`. */
export function isInside(outer: Network, inner: string): boolean {
  const read = readNetwork(inner);
  return "first" in read && read.prefix >= outer.prefix && networksOverlap(outer, read);
}

/** The address `offset` places after the network's first one; `offset` below 256, in a network that has so many. */
export function hostAddress({ first }: Network, offset: number): string {
  const bytes = first.toByteArray();
  return ipaddr.fromByteArray([...bytes.slice(0, -1), (bytes.at(-1) ?? 0) + offset]).toString();
}

/** The 64 leading bits of an IPv6 address, such as `2001:db8:0:1::/64`: what one machine has of its own. */
export function leading64(address: string): string | undefined {
  const parsed = parseAddress(address.replace(/%.*$/, ""));
  if (!(parsed instanceof ipaddr.IPv6)) return undefined;
  return `${parsed.parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(":")}::/64`;
}
