/**
 * A command's input, over the connection that brings its outputs. dockerd closes that when the command has ended; where input
 * is still unread then, the connection breaks: what is yet to be written fails, and the outputs have no end but an error.
 */
import type { Socket } from "node:net";

const broke = (error: unknown) =>
  ["EPIPE", "ECONNRESET"].includes((error as NodeJS.ErrnoException | null | undefined)?.code ?? "");

/** Sends it, and ends the input. What the command does not read any more is dropped. */
export function sendInput(socket: Socket, input: string | Buffer): void {
  const write = socket._write;
  // A write that fails would destroy the socket, and with it the outputs that are still on their way.
  socket._write = (piece, encoding, done) =>
    write.call(socket, piece, encoding, (error) => done(broke(error) ? null : error));
  socket.end(input);
}

/** What comes from the socket, to its end or until it breaks. */
export async function* untilBroken(socket: Socket): AsyncGenerator<Buffer> {
  try {
    for await (const bytes of socket) yield bytes as Buffer;
  } catch (error) {
    if (!broke(error)) throw error;
    // What came before that, and nobody had asked for yet.
    const rest = socket.read() as Buffer | null;
    if (rest !== null) yield rest;
  }
}
