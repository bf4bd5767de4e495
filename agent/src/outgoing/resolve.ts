import { networkInterfaces } from "node:os";
import { type Refusal, type Result, refuse } from "../../../core/gpu";
import { isAddress, isHost, isInside, readNetwork, sameAddress, specialRange } from "../../../core/net";
import { lookupDns, lookupHere } from "./lookup";

export interface ResolveOptions {
  /**
   * What the operator allows though it is none of the Internet's: hosts by name, addresses, networks (`10.0.0.0/8`). A
   * network has none of this machine's addresses in it, unless all of it is this machine (`127.0.0.0/8`).
   */
  allowed: readonly string[];
  /** The addresses of a name; throws if there is none. @default DNS; for a name in `allowed`, also the machine's own files */
  lookup?(host: string): Promise<string[]>;
  /** Addresses of this machine: behind its firewall, whatever their range. @default those of its interfaces */
  own?(): readonly string[];
}

/** Addresses that lead to this machine on each machine, or may: IPv4 ones in the spelling of IPv6 can be any. */
const THIS_MACHINE = ["127.0.0.0/8", "0.0.0.0/8", "::1", "::", "::ffff:0:0/96"];

/** Whoever has a name may give it thousands of addresses. */
const mostAddresses = 8;

/**
 * The addresses to connect to, at most 8, where somebody else named the host: connect to these (`pinned`), for the name
 * may lead elsewhere a moment later.
 *
 * @param host a name or an address, as a URL has it: IPv6 in brackets or without
 * @returns the addresses; or a refusal: `bad-request` (no host), `not-found` (a name without an address), `closed` (DNS
 * does not answer), `not-allowed` (one of the addresses is this machine's own or none of the Internet's)
 */
export async function resolvePublic(host: string, options: ResolveOptions): Promise<Result<string[]>> {
  const name = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (!isHost(name)) return refuse(noHost(host));
  const literal = isAddress(name);
  const listed = !literal && isListed(name, options.allowed);
  const found = literal ? given([name]) : await addressesOf(name, listed, options);
  if (!found.ok || listed) return found;
  const wrong = wrongOnes(found.value, options);
  return wrong.length === 0 ? found : refuse(notAllowed(name, wrong));
}

/** Whether the operator allows the host by its name or its address. */
export function isListed(host: string, allowed: readonly string[]): boolean {
  return allowed.some((entry) => sameAddress(entry) === sameAddress(host) || isWithin(host, [entry]));
}

const isWithin = (address: string, allowed: readonly string[]) => allowed.some(holds(address));

const holds = (address: string) => (entry: string) => {
  const network = readNetwork(entry);
  return "first" in network && isInside(network, address);
};

async function addressesOf(
  name: string,
  listed: boolean,
  { lookup = listed ? lookupHere : lookupDns }: ResolveOptions,
): Promise<Result<string[]>> {
  try {
    const addresses = await lookup(name);
    return addresses.length === 0 ? refuse(noAddress(name)) : given(addresses);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const none = code === "ENOTFOUND" || code === "ENODATA";
    return refuse(none ? noAddress(name) : noAnswer(name, code ?? message));
  }
}

/** What is wrong with each address that is neither the Internet's nor allowed. */
function wrongOnes(addresses: readonly string[], { allowed, own = ownAddresses }: ResolveOptions): string[] {
  const mine = [...THIS_MACHINE, ...own()];
  return addresses.flatMap((address) => {
    const within = mine.filter(holds(address));
    // Who lists a network thinks of the other machines in it.
    const entries = within.length === 0 ? allowed : allowed.filter((entry) => isWithin(entry, within));
    if (isWithin(address, entries)) return [];
    const range = own().map(sameAddress).includes(sameAddress(address))
      ? "this node's own"
      : specialRange(address);
    return range === undefined ? [] : [`${address} (${range})`];
  });
}

const ownAddresses = () =>
  Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));

const given = (addresses: readonly string[]): Result<string[]> => ({
  ok: true,
  value: addresses.slice(0, mostAddresses),
});

const noHost = (host: string): Refusal => ({
  code: "bad-request",
  message: `${JSON.stringify(host.slice(0, 100))} is no host`,
  allowed: "a DNS name, or an IPv4 or IPv6 address",
});

const noAddress = (name: string): Refusal => ({
  code: "not-found",
  message: `the host ${name} has no address in DNS`,
  fix: "check how the name is written, and that its DNS record is there",
});

const noAnswer = (name: string, why: string): Refusal => ({
  code: "closed",
  message: `the address of ${name} cannot be found now: DNS says ${why}`,
  fix: "try again later; if it stays so, see what keeps the name servers of that host from answering",
});

const notAllowed = (name: string, wrong: readonly string[]): Refusal => ({
  code: "not-allowed",
  message: `this node does not connect to ${name}: ${wrong.slice(0, mostAddresses).join(", ")}`,
  allowed: "hosts of the Internet, and those that the operator of the node allows",
  fix: "name another host, or ask the operator to allow this one",
});
