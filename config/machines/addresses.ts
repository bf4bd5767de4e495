import { isAddress } from "../../core/net";
import { isPlaceholder } from "../placeholders";

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

/** True for text that stands in for an address until the operator knows it, too. */
export const isAddressOrPlaceholder = (text: string) => isAddress(text) || isPlaceholder(text);
