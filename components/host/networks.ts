/** Networks and ports as the firewall and Docker want them. Pure. */
import { freePool, POOL_CANDIDATES, type PortRange } from "../../config";
import { type Network, readNetwork } from "../../core/net";
import { checkWhole, StageOptionError } from "./shell";

/**
 * An address or a network in CIDR notation, IPv4 or IPv6; an address counts as a network of one.
 * @throws StageOptionError when it is neither, or has bits set behind its prefix.
 */
export function parseNetwork(value: string, where: string): Network {
  const read = readNetwork(value);
  if ("problem" in read) throw new StageOptionError(where, value, read.allowed);
  return read;
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

/** The pool that Docker takes its own networks from: see `POOL_CANDIDATES`. */
export function dockerPool(avoid: readonly Network[]): { base: string; size: number } {
  const base = freePool(avoid);
  if (base === undefined) {
    const given = avoid.map((network) => network.text);
    throw new StageOptionError(
      "runtime.avoidNetworks",
      given,
      `networks that leave one of ${POOL_CANDIDATES.join(", ")} free for Docker`,
    );
  }
  return { base, size: 24 };
}
