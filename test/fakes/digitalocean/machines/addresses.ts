/** Addresses of the machines. Pure. */
import { parseRange, size, toAddress } from "../world/cidr";

/** Hands the addresses of an IPv4 range out in turn, so that one that was given back is not soon used again. */
export class Pool {
  private readonly used = new Set<number>();
  private readonly first: number;
  private readonly last: number;
  private next: number;

  /** @param from how many addresses at the start of the range are not handed out: the network's and the gateway's */
  constructor(
    private readonly range: string,
    from = 2,
  ) {
    const parsed = parseRange(range);
    if (parsed === undefined) throw new Error(`${range} is no IPv4 range`);
    this.first = parsed.first + from;
    // The last one is the broadcast address.
    this.last = parsed.first + size(parsed) - 2;
    this.next = this.first;
  }

  take(): string {
    for (let tries = this.first; tries <= this.last; tries++) {
      const value = this.next;
      this.next = value === this.last ? this.first : value + 1;
      if (this.used.has(value)) continue;
      this.used.add(value);
      return toAddress(value);
    }
    throw new Error(`no address is left in ${this.range}`);
  }

  give(address: string): void {
    for (const value of this.used) if (toAddress(value) === address) this.used.delete(value);
  }

  get empty(): boolean {
    return this.used.size === 0;
  }
}

/** The IPv6 address of a /64 that goes with an IPv4 one: `fd00:93::/64` and `10.93.0.12` give `fd00:93::c`. */
export function sixth(range6: string, address: string): string {
  const low = address.split(".").slice(2).map(Number);
  return `${range6.replace(/\/64$/, "")}${(((low[0] ?? 0) << 8) | (low[1] ?? 0)).toString(16)}`;
}
