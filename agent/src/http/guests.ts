import { isIPv6, type Socket } from "node:net";

export interface GuestLimits {
  /** Connections, all together. */
  all: number;
  /** Of one account, over all of its tokens. */
  person: number;
  /** From one address, of those that have not shown a good token yet. */
  address: number;
}

/**
 * Connections over TCP. Who comes is known only by the token of a request, and many people share an address: whoever runs
 * something on the node's own network has its loopback. So what has shown no good token yet makes room for what comes
 * later, the oldest first, and what has shown one stays, up to a number for each account.
 */
export class Guests {
  /** The oldest first. */
  private readonly unknown = new Map<string, Set<Socket>>();
  private readonly known = new Map<string, Set<Socket>>();
  private readonly places = new Map<Socket, { map: Map<string, Set<Socket>>; key: string }>();

  constructor(private readonly most: GuestLimits = { all: 1024, person: 128, address: 128 }) {}

  /** False: there is no room. */
  enter(socket: Socket): boolean {
    const address = network(socket.remoteAddress ?? "");
    const crowd = this.unknown.get(address);
    if (crowd && crowd.size >= this.most.address) this.end(crowd);
    else if (this.places.size >= this.most.all) {
      const largest = [...this.unknown.values()].sort((a, b) => b.size - a.size)[0];
      if (!largest) return false;
      this.end(largest);
    }
    this.place(socket, this.unknown, address);
    socket.once("close", () => this.leave(socket));
    return true;
  }

  /** A request on it had the account's token. False: the account has as many connections as it may have. */
  prove(socket: Socket, account: string): boolean {
    const place = this.places.get(socket);
    // It was ended meanwhile.
    if (!place) return true;
    if (place.map === this.known && place.key === account) return true;
    if ((this.known.get(account)?.size ?? 0) >= this.most.person) return false;
    this.leave(socket);
    this.place(socket, this.known, account);
    return true;
  }

  get allowed(): string {
    return `${this.most.person} connections of one account at a time, ${this.most.all} of all`;
  }

  private place(socket: Socket, map: Map<string, Set<Socket>>, key: string): void {
    const there = map.get(key);
    if (there) there.add(socket);
    else map.set(key, new Set([socket]));
    this.places.set(socket, { map, key });
  }

  private leave(socket: Socket): void {
    const place = this.places.get(socket);
    if (!place) return;
    this.places.delete(socket);
    const there = place.map.get(place.key);
    there?.delete(socket);
    if (there?.size === 0) place.map.delete(place.key);
  }

  private end(crowd: ReadonlySet<Socket>): void {
    const [oldest] = crowd;
    if (!oldest) return;
    this.leave(oldest);
    oldest.destroy();
  }
}

/** What one machine has: an IPv4 address, or the 64 leading bits of an IPv6 address. */
export function network(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = new URL(`http://[${plain}]/`).hostname.slice(1, -1).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return `${[...left, ...zeros, ...right].slice(0, 4).join(":")}::/64`;
}
