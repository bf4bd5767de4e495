/** The networks that Docker makes itself on a node. Pure. */
import { type Network, networksOverlap, readNetwork } from "../../core/net";

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
