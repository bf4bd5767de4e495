import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { NodeConfig } from "../config";
import type { Logger } from "../log";
import { type CertificateFiles, readCertificate, watchCertificate } from "./certificate";
import { Guests } from "./guests";
import { listening } from "./sockets";
import type { Encryption } from "./tls";

/** `api`: for all bearers of tokens. `manager`: the container manager's, where there is nothing but what tenants have. */
export const doors = ["api", "manager"] as const;
export type Door = (typeof doors)[number];

/** Where a door is to be. */
interface Wanted {
  host: string;
  port: number;
  tls?: CertificateFiles;
}

interface Offered {
  server: Server;
  at: string;
  /** No look at its certificate any more. */
  unwatch(): void;
}

export interface TcpListenersOptions {
  node(): NodeConfig;
  log: Logger;
  make(door: Door, guests: Guests, tls: Encryption | undefined): Server;
  end(server: Server): Promise<void>;
  /** Between two looks at a certificate, in milliseconds. @default 5000 */
  certificateEvery?: number;
}

const named: Record<Door, string> = { api: "the API", manager: "the container manager" };

/** berthd's listeners on TCP, as node.json has them. */
export class TcpListeners {
  /** Apart, so that whoever reaches the one takes no connection of the other. */
  private readonly guests: Record<Door, Guests> = { api: new Guests(), manager: new Guests() };
  private readonly offered = new Map<Door, Offered>();
  private readonly troubles = new Map<Door | "certificate", string>();

  constructor(private readonly options: TcpListenersOptions) {}

  get servers(): Server[] {
    return [...this.offered.values()].map(({ server }) => server);
  }

  /** Why something of it is not there as the stack wants it. */
  get problems(): string[] {
    return [...this.troubles.values()];
  }

  /** The port that is really open; undefined: none. */
  port(door: Door): number | undefined {
    const address = this.offered.get(door)?.server.address() as AddressInfo | null | undefined;
    return address?.port;
  }

  /** Opens, moves and closes what node.json says. @returns false: something is to be tried again */
  async apply(): Promise<boolean> {
    let whole = true;
    for (const door of doors) {
      try {
        await this.offer(door);
        this.troubles.delete(door);
      } catch (error) {
        // The address may come up later; who is on the node is served all the same.
        whole = false;
        const what = `${named[door]} cannot be offered over TCP`;
        this.trouble(door, `${what}: ${(error as Error).message}`, error);
      }
    }
    return whole;
  }

  /** Looks at certificates no more. */
  close(): void {
    for (const { unwatch } of this.offered.values()) unwatch();
  }

  private async offer(door: Door): Promise<void> {
    const wanted = wantedOf(door, this.options.node());
    const at = JSON.stringify(wanted);
    const now = this.offered.get(door);
    if (at === now?.at) return;
    if (now) {
      this.offered.delete(door);
      now.unwatch();
      await this.options.end(now.server);
    }
    if (!wanted) return;
    const { host, port, tls } = wanted;
    const server = this.options.make(door, this.guests[door], tls && readCertificate(tls));
    await listening(server, () => server.listen(port, host));
    const unwatch = tls ? this.renew(server, tls) : () => {};
    this.offered.set(door, { server, at: at ?? "", unwatch });
    this.options.log.info({ address: server.address(), door }, `${named[door]} is offered over TCP`);
  }

  /** New connections get the certificate that is there by then; those that are open keep theirs. */
  private renew(server: Server, files: CertificateFiles): () => void {
    const take = () => {
      try {
        (server as Server & { setSecureContext(options: Encryption): void }).setSecureContext(
          readCertificate(files),
        );
        this.troubles.delete("certificate");
        this.options.log.info({ certificate: files.certificate }, "the certificate was read again");
      } catch (error) {
        // Of the two files one may be replaced before the other.
        const why = (error as Error).message;
        this.trouble("certificate", `the certificate before stays in force: ${why}`, error);
      }
    };
    const unwatch = watchCertificate(files, take, this.options.certificateEvery);
    // What was replaced since it was read.
    take();
    return () => {
      unwatch();
      this.troubles.delete("certificate");
    };
  }

  /** Told once, as long as it is the same. */
  private trouble(what: Door | "certificate", why: string, error: unknown): void {
    if (this.troubles.get(what) !== why) this.options.log.error({ err: error }, why);
    this.troubles.set(what, why);
  }
}

function wantedOf(door: Door, { listen, port, privateAddress, manager }: NodeConfig): Wanted | undefined {
  if (door === "manager") {
    if (!manager) return undefined;
    const { address, port: own, tls } = manager.listen;
    return { host: address, port: own, ...(tls && { tls }) };
  }
  const host = listen === "off" ? undefined : listen === "loopback" ? "127.0.0.1" : privateAddress;
  return host === undefined ? undefined : { host, port };
}
