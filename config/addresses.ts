import { isIPv6 } from "node:net";
import { cidrContains, isIpv4, parseCidr } from "./net";
import { isPlaceholder } from "./placeholders";

/** Addresses of a machine: the one that the operator's computer reaches, and the one that the nodes share. */
export interface AddressPair {
  public: string;
  private: string;
}

/**
 * Reads `PUBLIC:PRIVATE`; an IPv6 address stands in brackets, `[2001:db8::7]:[fd00::7]`. Undefined when it is no
 * such text; whether the parts are addresses is another question.
 */
export function parseAddressPair(text: string): AddressPair | undefined {
  const part = "\\[([^\\[\\]]+)\\]|(<[^<>]+>)|([^:\\[\\]<>]+)";
  const match = new RegExp(`^(?:${part}):(?:${part})$`).exec(text.trim());
  if (!match) return undefined;
  const [, a, b, c, d, e, f] = match;
  return { public: (a ?? b ?? c) as string, private: (d ?? e ?? f) as string };
}

/** A host as it stands before a port: an IPv6 address in brackets (RFC 3986, 3.2.2). */
export const bracketed = (host: string) => (host.includes(":") ? `[${host}]` : host);

export const isAddress = (text: string) => isIpv4(text) || (isIPv6(text) && !text.includes("%"));

/** An address as a key for comparing: one spelling for each. */
export function sameAddress(text: string): string {
  return isIPv6(text) ? new URL(`http://[${text}]/`).hostname : text.toLowerCase();
}

/** A host that SSH can dial: an address, or a DNS name (RFC 1123). */
export function isHost(text: string): boolean {
  return (
    isAddress(text) ||
    (text.length <= 253 &&
      !/^[\d.]+$/.test(text) &&
      /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(text))
  );
}

/** RFC 1918. */
export const PRIVATE_IPV4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] as const;

/** Inside a private range: RFC 1918, or a unique local address (RFC 4193, fc00::/7). */
export function isPrivateAddress(text: string): boolean {
  if (isIpv4(text))
    return PRIVATE_IPV4.some((range) => {
      const cidr = parseCidr(range);
      return cidr !== undefined && cidrContains(cidr, text);
    });
  return isIPv6(text) && /^\[f[cd][0-9a-f]{2}:/.test(sameAddress(text));
}

/** True for text that stands in for an address until the operator knows it, too. */
export const isAddressOrPlaceholder = (text: string) => isAddress(text) || isPlaceholder(text);

/** An address with its prefix, such as `10.20.0.11/24`: what a network interface is given. */
export function isInterfaceAddress(text: string): boolean {
  const [address, prefix, rest] = text.split("/");
  if (address === undefined || prefix === undefined || rest !== undefined || !/^\d{1,3}$/.test(prefix))
    return false;
  const length = Number(prefix);
  return length >= 1 && isAddress(address) && length <= (isIpv4(address) ? 32 : 128);
}
