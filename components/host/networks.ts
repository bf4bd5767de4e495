/** Networks and ports as the firewall and Docker want them. Pure. */
import { isIPv4, isIPv6 } from "node:net";
import type { PortRange } from "../../config";
import { checkWhole, StageOptionError } from "./shell";

export interface Network {
  family: 4 | 6;
  /** As written in rules: always with a prefix length. */
  text: string;
  first: bigint;
  last: bigint;
}

function addressToNumber(address: string, family: 4 | 6): bigint {
  if (family === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // The URL parser writes the embedded IPv4 form (::ffff:1.2.3.4) in plain groups and drops leading zeros.
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = plain.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].reduce((sum, part) => sum * 65536n + BigInt(`0x${part}`), 0n);
}

/**
 * An address or a network in CIDR notation, IPv4 or IPv6; an address counts as a network of one.
 * @throws StageOptionError when it is neither, or has host bits set (a typing error more often than not).
 */
export function parseNetwork(value: string, where: string): Network {
  const allowed = "an IPv4 or IPv6 address or network, such as '10.0.0.0/8' or 'fd00::/8'";
  const [address = "", prefixText, rest] = value.split("/");
  const family = isIPv4(address) ? 4 : isIPv6(address) && !address.includes("%") ? 6 : undefined;
  if (family === undefined || rest !== undefined) throw new StageOptionError(where, value, allowed);
  const bits = family === 4 ? 32 : 128;
  if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) {
    throw new StageOptionError(where, value, allowed);
  }
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) throw new StageOptionError(where, value, `${allowed}, prefix length 0 to ${bits}`);
  const size = 1n << BigInt(bits - prefix);
  const first = addressToNumber(address, family);
  if (first % size !== 0n) {
    throw new StageOptionError(where, value, `${allowed}, with no bit set behind the prefix`);
  }
  return { family, text: `${address}/${prefix}`, first, last: first + size - 1n };
}

export function networksOverlap(a: Network, b: Network): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

export function checkRange(range: PortRange, where: string): PortRange {
  checkWhole(range.start, `${where}.start`, 1, 65535);
  checkWhole(range.end, `${where}.end`, range.start, 65535);
  return range;
}

/** `22` or `10000:19999`: how ufw and iptables write ports. */
export function portText(range: PortRange): string {
  return range.start === range.end ? String(range.start) : `${range.start}:${range.end}`;
}

/** netfilter's multiport match holds 15 ports, a range counting as two (xt_multiport.h, XT_MULTI_PORTS). */
const MULTIPORT_SLOTS = 15;

/** Ranges in groups that fit one rule each, in the given order. */
export function portGroups(ranges: readonly PortRange[]): PortRange[][] {
  const groups: PortRange[][] = [];
  let room = 0;
  for (const range of ranges) {
    const need = range.start === range.end ? 1 : 2;
    if (need > room) {
      groups.push([]);
      room = MULTIPORT_SLOTS;
    }
    groups.at(-1)?.push(range);
    room -= need;
  }
  return groups;
}

/** Sorted, with ranges that touch or meet made one: fewer rules, and the same text whatever the order given. */
export function mergeRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const previous = merged.at(-1);
    if (previous && range.start <= previous.end + 1) previous.end = Math.max(previous.end, range.end);
    else merged.push({ start: range.start, end: range.end });
  }
  return merged;
}

/**
 * Where Docker takes its own networks from. The first candidate that meets none of the networks to avoid.
 * 1024 networks of 254 addresses each: Docker's default pools run out after 31, and their last ones
 * (192.168.0.0/16) are what homes and offices use.
 */
const POOL_CANDIDATES = ["172.24.0.0/14", "10.201.0.0/16", "192.168.192.0/18"];

export function dockerPool(avoid: readonly Network[]): { base: string; size: number } {
  const base = POOL_CANDIDATES.find((text) => {
    const candidate = parseNetwork(text, "pool");
    return avoid.every((network) => !networksOverlap(candidate, network));
  });
  if (base === undefined) {
    const given = avoid.map((network) => network.text);
    throw new StageOptionError(
      "runtime.avoidNetworks",
      given,
      `networks that leave one of ${POOL_CANDIDATES.join(", ")} free for Docker, or set runtime.addressPool`,
    );
  }
  return { base, size: 24 };
}
