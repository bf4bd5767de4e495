/** Ids and addresses in the order of creation, so that a test sees the same ones in each run. */
export class Ids {
  private readonly next: Map<string, number>;

  /** @param reservedFrom the number before the first reserved address's */
  constructor(reservedFrom = 0) {
    this.next = new Map([["address-reserved", reservedFrom]]);
  }

  private count(kind: string): number {
    const value = (this.next.get(kind) ?? 0) + 1;
    this.next.set(kind, value);
    return value;
  }

  /** Numeric ids, each kind in a range of its own so that a mix-up shows. */
  number(kind: "droplet" | "action" | "key" | "image" | "record"): number {
    const base = {
      droplet: 400_000_000,
      action: 1_700_000_000,
      key: 41_000_000,
      image: 150_000_000,
      record: 1_800_000_000,
    };
    return base[kind] + this.count(kind);
  }

  /** UUIDs; the last group counts, the first one tells the kind. */
  uuid(kind: "volume" | "vpc" | "firewall" | "project" | "request" | "snapshot" | "account"): string {
    const first = {
      volume: "a",
      vpc: "b",
      firewall: "c",
      project: "d",
      request: "e",
      snapshot: "f",
      account: "9",
    }[kind];
    return `${first.repeat(8)}-0000-4000-8000-${this.count(kind).toString(16).padStart(12, "0")}`;
  }

  /** Public IPv4 from the range for benchmarks (198.18.0.0/15), which nobody routes. */
  publicAddress(kind: "droplet" | "reserved"): string {
    const count = this.count(`address-${kind}`);
    return `198.${kind === "droplet" ? 18 : 19}.${count >> 8}.${count & 255}`;
  }

  /** Public IPv6 from the documentation range. */
  publicAddress6(): string {
    return `2001:db8::${this.count("address6").toString(16)}`;
  }
}
