import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Payer } from "./identity";

/** Requests of one connection that wait for the answer before theirs; more is a flood and no client. */
const mostWaiting = 16;

/** Bytes that all who show no token may leave unread before they are the first whose answers are cut. */
const STRANGERS_UNREAD = 2 ** 20;

interface Turn {
  socket: Socket;
  /** Who asks. */
  payer: Payer;
  response: ServerResponse;
  begin(): void;
}

/**
 * Bounds what connections cost. Node hands over all requests of a chunk at once, and keeps each answer until the client
 * reads it: a few KB of requests would fill the memory. So the next request of a connection has its turn when the answer
 * before has left, and an answer that is not read goes after a while, with its connection. Where all of them together are too much,
 * the oldest goes of whoever has most: who has little loses nothing by what others leave unread.
 */
export class Turns {
  private readonly lines = new WeakMap<Socket, Turn[]>();
  /** Connections with an answer that the kernel has not taken yet, and whose they are; the oldest first. */
  private readonly unread = new Map<Socket, Payer>();

  constructor(
    private readonly readTimeout = 30_000,
    /** Bytes, of all connections together: berthd has 256 MB. */
    private readonly mostUnread = 16 * 1024 * 1024,
  ) {}

  /** True: a request of this connection is not answered yet. */
  busy(socket: Socket): boolean {
    return this.lines.has(socket);
  }

  take(turn: Turn): void {
    const line = this.lines.get(turn.socket);
    if (!line) {
      this.lines.set(turn.socket, []);
      this.begin(turn);
    } else if (line.length < mostWaiting) line.push(turn);
    else turn.socket.destroy();
  }

  private begin({ socket, payer, response, begin }: Turn): void {
    response.once("prefinish", () => this.answered(socket, payer, response));
    response.once("close", () => {
      const next = this.lines.get(socket)?.shift();
      if (!next) this.lines.delete(socket);
      else if (!socket.destroyed) this.begin(next);
    });
    begin();
  }

  private answered(socket: Socket, payer: Payer, response: ServerResponse): void {
    if (socket.writableLength === 0) return;
    const late = setTimeout(() => socket.destroy(), this.readTimeout).unref();
    this.unread.set(socket, payer);
    response.once("close", () => {
      clearTimeout(late);
      this.unread.delete(socket);
    });
    this.makeRoom();
  }

  private makeRoom(): void {
    let bytes = unreadOf(this.unread.keys());
    while (bytes > this.mostUnread && this.unread.size > 1) {
      const [oldest] = this.largest();
      if (!oldest) return;
      bytes -= oldest.writableLength;
      this.unread.delete(oldest);
      oldest.destroy();
    }
  }

  /** Connections of whoever has most unread: of those who show no token, where these have more together than a few pages. */
  private largest(): Socket[] {
    const crowds = new Map<string, { known: boolean; sockets: Socket[] }>();
    for (const [socket, { name, known }] of this.unread) {
      const crowd = crowds.get(name) ?? { known, sockets: [] };
      crowd.sockets.push(socket);
      crowds.set(name, crowd);
    }
    const all = [...crowds.values()];
    const strangers = all.filter(({ known }) => !known);
    const areMany = unreadOf(strangers.flatMap(({ sockets }) => sockets)) > STRANGERS_UNREAD;
    const [first] = (areMany ? strangers : all).sort((a, b) => unreadOf(b.sockets) - unreadOf(a.sockets));
    return first?.sockets ?? [];
  }
}

function unreadOf(sockets: Iterable<Socket>): number {
  let bytes = 0;
  for (const { writableLength } of sockets) bytes += writableLength;
  return bytes;
}
