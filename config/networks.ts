/** Networks of both families, as firewalls, exports and Docker take them: one rule for all who read one. Pure. */
import { isIPv4, isIPv6 } from "node:net";
import type { Report } from "./problems";

export interface Network {
  family: 4 | 6;
  /** As written in rules: always with a prefix length. */
  text: string;
  first: bigint;
  last: bigint;
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
  const [address = "", prefixText, rest] = text.split("/");
  const family = isIPv4(address) ? 4 : isIPv6(address) && !address.includes("%") ? 6 : undefined;
  if (family === undefined || rest !== undefined) return none;
  const bits = family === 4 ? 32 : 128;
  if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) return none;
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) return { ...none, allowed: `${NETWORK_RULE}, prefix length 0 to ${bits}` };
  const size = 1n << BigInt(bits - prefix);
  const given = addressToNumber(address, family);
  const first = given - (given % size);
  if (first !== given)
    return {
      problem: BEHIND_PREFIX,
      allowed: `${NETWORK_RULE}, with no bit set behind the prefix: '${numberToAddress(first, family)}/${prefix}', or the address '${address}'`,
    };
  return { family, text: `${address}/${prefix}`, first, last: first + size - 1n };
}

export function networksOverlap(a: Network, b: Network): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** Reports every entry that is no network. */
export function checkNetworks(path: string, list: readonly string[] | undefined, report: Report): void {
  for (const [i, text] of (list ?? []).entries()) {
    const read = readNetwork(text);
    if ("problem" in read) report(`${path}[${i}]`, text, read.problem, read.allowed);
  }
}

/**
 * Where Docker takes its own networks from. The first candidate that meets none of the networks to avoid.
 * 1024 networks of 254 addresses each: Docker's default pools run out after 31, and their last ones
 * (192.168.0.0/16) are what homes and offices use.
 */
export const POOL_CANDIDATES = ["172.24.0.0/14", "10.201.0.0/16", "192.168.192.0/18"] as const;

/** The pool for Docker's own networks on a node, or undefined where every candidate meets one of these. */
export function freePool(avoid: readonly Network[]): string | undefined {
  return POOL_CANDIDATES.find((text) => {
    const candidate = readNetwork(text);
    return "first" in candidate && avoid.every((network) => !networksOverlap(candidate, network));
  });
}

/**
 * An IPv6 address spelled out: its eight groups of 16 bits, in hexadecimal digits without leading zeros. Whoever compares
 * addresses or masks them does it on these.
 *
 * @param address what `net.isIPv6` takes, without a zone (`%eth0`)
 */
export function ipv6Groups(address: string): string[] {
  // The URL parser writes the embedded IPv4 form (::ffff:1.2.3.4) in plain groups and drops leading zeros.
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [left, right] = [groups(head), groups(tail)];
  return [...left, ...Array<string>(8 - left.length - right.length).fill("0"), ...right];
}

function addressToNumber(address: string, family: 4 | 6): bigint {
  if (family === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  return ipv6Groups(address).reduce((sum, part) => sum * 65536n + BigInt(`0x${part}`), 0n);
}

function numberToAddress(value: bigint, family: 4 | 6): string {
  const [count, width] = family === 4 ? [4, 8n] : [8, 16n];
  const parts = Array.from(
    { length: count },
    (_, i) => (value >> (BigInt(count - 1 - i) * width)) % (1n << width),
  );
  if (family === 4) return parts.join(".");
  // The URL parser shortens it (RFC 5952).
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(":")}]/`).hostname.slice(1, -1);
}
