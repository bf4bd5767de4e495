import type { Socket } from "node:net";
import { leading64 } from "../../../core/net";
import type { Full } from "./bodies";

export interface GuestLimits {
  /** Connections, all together. */
  all: number;
  /** Of those that have shown a good token, all together: the rest is for who comes. */
  known: number;
  /** Of one account, over all of its tokens. */
  person: number;
  /** That an account always gets, though others have all: the oldest of whoever has most gives way. */
  own: number;
  /** From one address, of those that have not shown a good token yet. */
  address: number;
}

/**
 * Connections over TCP. Who comes is known only by the token of a request, and many people share an address: whoever runs
 * something on the node's own network has its loopback. So what has shown no good token yet makes room for what comes
 * later, the oldest first, and what has shown one stays, up to a number for each account. Where accounts have taken all
 * that those may have, one that comes with a good token and has few makes the one that has most give way.
 */
export class Guests {
  /** The oldest first. */
  private readonly unknown = new Map<string, Set<Socket>>();
  private readonly known = new Map<string, Set<Socket>>();
  private readonly places = new Map<Socket, { map: Map<string, Set<Socket>>; key: string }>();

  constructor(
    private readonly most: GuestLimits = { all: 1024, known: 896, person: 128, own: 4, address: 128 },
  ) {}

  /** False: there is no room. */
  enter(socket: Socket): boolean {
    const address = network(socket.remoteAddress ?? "");
    const crowd = this.unknown.get(address);
    if (crowd && crowd.size >= this.most.address) this.end(crowd);
    else if (this.places.size >= this.most.all) {
      const most = largest(this.unknown);
      if (!most) return false;
      this.end(most);
    }
    this.place(socket, this.unknown, address);
    socket.once("close", () => this.leave(socket));
    return true;
  }

  /** A request on it had the account's token. @returns what is full, if it may not stay */
  prove(socket: Socket, account: string): Full | undefined {
    const place = this.places.get(socket);
    // It was ended meanwhile.
    if (!place) return undefined;
    if (place.map === this.known && place.key === account) return undefined;
    const mine = this.known.get(account)?.size ?? 0;
    if (mine >= this.most.person) return "account";
    // What changes its account takes no more than it has.
    if (place.map !== this.known && this.counted() >= this.most.known) {
      const most = largest(this.known);
      if (mine >= this.most.own || !most || most.size <= this.most.own) return "all";
      this.end(most);
    }
    this.leave(socket);
    this.place(socket, this.known, account);
    return undefined;
  }

  get allowed(): string {
    const { own, person, known } = this.most;
    return `${own} connections of each account at a time, and beyond that ${person} of one, ${known} of all`;
  }

  /** Connections that have shown a good token. */
  private counted(): number {
    return [...this.known.values()].reduce((sum, { size }) => sum + size, 0);
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

function largest(crowds: ReadonlyMap<string, Set<Socket>>): Set<Socket> | undefined {
  return [...crowds.values()].sort((a, b) => b.size - a.size)[0];
}

/** What one machine has: an IPv4 address, or the 64 leading bits of an IPv6 address. */
export function network(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return leading64(plain) ?? plain;
}
