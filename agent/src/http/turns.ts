import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Requests of one connection that wait for the answer before theirs; more is a flood and no client. */
const mostWaiting = 16;

interface Turn {
  socket: Socket;
  response: ServerResponse;
  begin(): void;
}

/**
 * Bounds what connections cost. Node hands over all requests of a chunk at once, and keeps each answer until the client
 * reads it: a few KB of requests would fill the memory. So the next request of a connection has its turn when the answer
 * before has left, and an answer that is not read goes after a while, with its connection.
 */
export class Turns {
  private readonly lines = new WeakMap<Socket, Turn[]>();
  /** Bytes that the kernel has not taken yet, the oldest first. */
  private readonly unread = new Map<Socket, number>();
  private unreadBytes = 0;

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

  private begin({ socket, response, begin }: Turn): void {
    response.once("prefinish", () => this.answered(socket, response));
    response.once("close", () => {
      const next = this.lines.get(socket)?.shift();
      if (!next) this.lines.delete(socket);
      else if (!socket.destroyed) this.begin(next);
    });
    begin();
  }

  private answered(socket: Socket, response: ServerResponse): void {
    const bytes = socket.writableLength;
    if (bytes === 0) return;
    const late = setTimeout(() => socket.destroy(), this.readTimeout).unref();
    this.unread.set(socket, bytes);
    this.unreadBytes += bytes;
    response.once("close", () => {
      clearTimeout(late);
      this.forget(socket);
    });
    for (const [oldest] of this.unread) {
      if (this.unreadBytes <= this.mostUnread || oldest === socket) break;
      oldest.destroy();
      this.forget(oldest);
    }
  }

  private forget(socket: Socket): void {
    this.unreadBytes -= this.unread.get(socket) ?? 0;
    this.unread.delete(socket);
  }
}
