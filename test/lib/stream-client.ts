/** A client of HTTP that is written by hand, to do what real ones would not. */
import { connect, type Socket } from "node:net";

export type To = { path: string } | { port: number };

export interface RawClient {
  socket: Socket;
  /** All that came, of which a chunked body is not taken apart. */
  said(): string;
  closed(): boolean;
}

/** Connects, sends the text, and reads what comes, unless `read` is false. */
export function rawClient(to: To, text: string, read = true): RawClient {
  const socket = "path" in to ? connect(to.path) : connect(to.port, "127.0.0.1");
  let said = "";
  let closed = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  if (read) {
    socket.on("data", (part: Buffer) => {
      said += part.toString("utf8");
    });
  } else socket.pause();
  socket.write(text);
  return { socket, said: () => said, closed: () => closed };
}

/** A GET request with these headers. */
export const get = (path: string, headers: Record<string, string | undefined> = {}) =>
  `GET ${path} HTTP/1.1\r\nhost: berthd\r\n${Object.entries(headers)
    .map(([name, value]) => (value === undefined ? "" : `${name}: ${value}\r\n`))
    .join("")}\r\n`;

/** The events in what a client of Server-Sent Events was sent: name, id, and data read as JSON. */
export function eventsIn(said: string): { event?: string; id?: string; data: Record<string, unknown> }[] {
  // Each write is a chunk of its own.
  const body = said.slice(said.indexOf("\r\n\r\n") + 4).replace(/(^|\r\n)[0-9a-f]+\r\n/g, "");
  return body
    .split("\n\n")
    .map((block) => new Map(block.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string])))
    .filter((fields) => fields.has("data"))
    .map((fields) => ({
      ...(fields.has("event") && { event: fields.get("event") }),
      ...(fields.has("id") && { id: fields.get("id") }),
      data: JSON.parse(fields.get("data") ?? "") as Record<string, unknown>,
    }));
}
