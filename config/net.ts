/** IPv4 arithmetic on plain numbers: enough for the plan. Networks of both families are read in networks.ts. */
import { readNetwork } from "./networks";

const OCTET = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(\\.${OCTET}){3}$`);

export function isIpv4(text: string): boolean {
  return IPV4.test(text);
}

/** A dotted address as an unsigned 32-bit number. */
export function ipv4ToNumber(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function numberToIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

export interface Cidr {
  /** First address, as a number. */
  first: number;
  /** Last address, as a number. */
  last: number;
  prefix: number;
}

/** Reads `a.b.c.d/p`; undefined when it is no network or has bits set behind the prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const [, prefix] = text.split("/");
  const read = readNetwork(text);
  if (prefix === undefined || "problem" in read || read.family !== 4) return undefined;
  return { first: Number(read.first), last: Number(read.last), prefix: Number(prefix) };
}

export function cidrContains(cidr: Cidr, address: string): boolean {
  const n = ipv4ToNumber(address);
  return n >= cidr.first && n <= cidr.last;
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** The address `offset` places after the network's first one. */
export function hostAddress(cidr: Cidr, offset: number): string {
  return numberToIpv4(cidr.first + offset);
}
