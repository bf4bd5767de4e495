import {
  createServer as createPlain,
  type RequestListener,
  type Server,
  type ServerOptions,
} from "node:http";
import { createServer as createEncrypted } from "node:https";
import type { Socket } from "node:net";

/** Certificate and key, in PEM. */
export interface Encryption {
  cert: Buffer;
  key: Buffer;
}

/** Until a client and berthd agree on keys, in milliseconds. */
const handshakeTimeout = 10_000;

/** A server of HTTP, encrypted where there is a certificate. */
export function httpServer(
  options: ServerOptions,
  tls: Encryption | undefined,
  listener: RequestListener,
): Server {
  return tls
    ? createEncrypted({ ...options, ...tls, handshakeTimeout }, listener)
    : createPlain(options, listener);
}

/**
 * The connections of a server. Encrypted ones are two sockets: TCP's, which counts from its first moment, and the one that requests
 * come through, which there is once client and server agree.
 */
export class Connections {
  private readonly open = new Map<string, Socket>();
  private readonly beneath = new WeakMap<Socket, Socket>();

  /** @param entered TCP's socket; false: it is turned away. @param ready the socket of requests */
  constructor(
    server: Server,
    private readonly encrypted: boolean,
    on: { entered(socket: Socket): boolean; ready(socket: Socket, tcp: Socket): void },
  ) {
    server.on("connection", (tcp: Socket) => {
      if (!on.entered(tcp)) return;
      if (encrypted) this.remember(tcp);
      else on.ready(tcp, tcp);
    });
    server.on("secureConnection", (socket: Socket) => {
      const tcp = this.open.get(ends(socket));
      // It was turned away, or has gone meanwhile.
      if (!tcp) {
        socket.destroy();
        return;
      }
      this.beneath.set(socket, tcp);
      on.ready(socket, tcp);
    });
  }

  /** TCP's socket of the one that a request came through. */
  tcp(socket: Socket): Socket {
    return this.beneath.get(socket) ?? socket;
  }

  /** Whether text of HTTP can be written to it: the client and the server have agreed, where they have to. */
  speaks(socket: Socket): boolean {
    return !this.encrypted || this.beneath.has(socket);
  }

  private remember(tcp: Socket): void {
    const key = ends(tcp);
    this.open.set(key, tcp);
    tcp.once("close", () => {
      if (this.open.get(key) === tcp) this.open.delete(key);
    });
  }
}

/** What tells a connection of one listener from all others. */
const ends = ({ remoteAddress, remotePort, localAddress }: Socket) =>
  [remoteAddress, remotePort, localAddress].join(" ");
