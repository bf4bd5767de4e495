/**
 * @file The network of test machines: a bridge in a namespace of its own, so that no rule of this computer's firewall
 * or container engine lies between them. This computer and each client are joined to it. No port of this computer's is
 * opened.
 */
import { must, run } from "../../lib/run";
import { SECOND } from "../../lib/time";

export const NETWORK = "10.98.0.0/24";
const NETWORK6 = "fd00:98::/64";
export const addressOf = (host: number) => `10.98.0.${host}`;
export const address6Of = (host: number) => `fd00:98::${host}`;
/** This computer's. */
const OPERATOR = 1;
export const operator = { address: addressOf(OPERATOR), address6: address6Of(OPERATOR) };

const ip = async (...args: string[]) => (await must("ip", args, { deadline: 30 * SECOND })).stdout;

/** @throws when this computer has an address in the network: two runs would reach each other's machines. */
async function requireFree(): Promise<void> {
  const four = await ip("-o", "-4", "addr", "show", "to", NETWORK);
  const six = await ip("-o", "-6", "addr", "show", "to", NETWORK6);
  const found = [...`${four}${six}`.matchAll(/^\d+:\s+(\S+)/gm)].map(([, name = ""]) => name);
  if (found.length === 0) return;
  throw new Error(
    `The test machines' network (${NETWORK}, ${NETWORK6}) is on this computer already, at ${[...new Set(found)].join(", ")}. Wait for the other run of these tests, or take that address away; then run the same command again.`,
  );
}

/** A computer on the network that is no node: a namespace with the programs of this computer. */
export interface SiteClient {
  address: string;
  address6: string;
  /** The words before a program that runs there. */
  inside: readonly string[];
}

export class Site {
  private readonly namespaces: string[] = [];
  private taps = 0;

  private constructor(
    private readonly name: string,
    /** This computer's end of what joins it to the network. */
    private readonly link: string,
  ) {}

  static async create(): Promise<Site> {
    const { linkOf, NAMESPACE_PREFIX } = await import("../../../scripts/machines/sweep.mjs");
    await requireFree();
    const site = new Site(`${NAMESPACE_PREFIX}${process.pid}`, linkOf(process.pid));
    try {
      await site.make();
    } catch (error) {
      await site.close();
      throw error;
    }
    return site;
  }

  private async make(): Promise<void> {
    await this.namespace(this.name);
    await ip("-n", this.name, "link", "add", "bridge", "type", "bridge", "forward_delay", "0");
    await ip("-n", this.name, "link", "set", "bridge", "up");
    const here = this.link;
    await ip("link", "add", here, "type", "veth", "peer", "name", "operator", "netns", this.name);
    await ip("-n", this.name, "link", "set", "operator", "master", "bridge", "up");
    await ip("addr", "add", `${operator.address}/24`, "dev", here);
    await ip("addr", "add", `${operator.address6}/64`, "dev", here, "nodad");
    await ip("link", "set", here, "up");
  }

  private async namespace(name: string): Promise<void> {
    await ip("netns", "add", name);
    this.namespaces.push(name);
    await ip("-n", name, "link", "set", "lo", "up");
  }

  /** @param host the last part of its addresses */
  async client(name: string, host: number): Promise<SiteClient> {
    const own = `${this.name}-${name}`;
    await this.namespace(own);
    await ip("link", "add", "eth0", "netns", own, "type", "veth", "peer", "name", name, "netns", this.name);
    await ip("-n", this.name, "link", "set", name, "master", "bridge", "up");
    const address = addressOf(host);
    const address6 = address6Of(host);
    await ip("-n", own, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", own, "addr", "add", `${address6}/64`, "dev", "eth0", "nodad");
    await ip("-n", own, "link", "set", "eth0", "up");
    return { address, address6, inside: ["ip", "netns", "exec", own] };
  }

  /** A port of the bridge for one machine; the name is for QEMU, which has to run inside, see `inside`. */
  async tap(): Promise<string> {
    const tap = `tap${this.taps++}`;
    await ip("-n", this.name, "tuntap", "add", "dev", tap, "mode", "tap");
    await ip("-n", this.name, "link", "set", tap, "master", "bridge", "up");
    return tap;
  }

  /** What runs a program in the namespace, before the program and its words. */
  get inside(): string[] {
    return ["ip", "netns", "exec", this.name];
  }

  async close(): Promise<void> {
    await run("ip", ["link", "delete", this.link]);
    for (const name of this.namespaces.splice(0)) await run("ip", ["netns", "delete", name]);
  }
}
