import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { bytesOf } from "./bodies";
import { Refused } from "./failures";
import type { Identity } from "./identity";
import { closeCodes, OpenStreams } from "./open-streams";
import { failures, pathOf, pathPattern } from "./route";
import { type SseEvent, sseBeat, sseHeaders, sseStart, sseText } from "./sse";

/** What the source of a stream is told. */
export interface StreamContext {
  identity: Identity;
  /** Aborted when the stream ends, whoever ended it: the source has to end then. */
  signal: AbortSignal;
}

interface Route<P extends z.ZodType, Q extends z.ZodObject> {
  description: string;
  params?: P;
  query?: Q;
  /** Who may: `programOnly`, `tenantsAnd` and the like; left out: every caller but tenants. */
  guard?: { onRequest?(request: FastifyRequest): Promise<void>; config?: { tenants?: boolean } };
}
interface Asked<P, Q> {
  params: z.output<P>;
  query: z.output<Q>;
}

export interface SseRoute<P extends z.ZodType, Q extends z.ZodObject> extends Route<P, Q> {
  /**
   * The events, after the one that `lastEventId` names. Asked for one at a time, the next once the client has taken the
   * one before: nothing piles up for a slow reader unless it does so in the source.
   * @throws {Refused} before anything is sent
   */
  open(
    asked: Asked<P, Q>,
    stream: StreamContext & { lastEventId?: string },
  ): AsyncIterable<SseEvent> | Promise<AsyncIterable<SseEvent>>;
}

export interface WebSocketRoute<P extends z.ZodType, Q extends z.ZodObject> extends Route<P, Q> {
  /** The subprotocol that is agreed on with a client that offers any. */
  protocol?: string;
  /** Bytes of the largest message that a client may send: so many are kept of each of its connections. @default 64 KiB */
  maxMessage?: number;
  /** Milliseconds without a message from either side, after which it ends. @default an hour */
  idle?: number;
  /**
   * What is done with the connection once it is one; the stream ends with it. It throws a `Refused` where the client sent
   * what makes no sense: the stream ends with these words.
   * @throws {Refused} before the connection is a WebSocket
   */
  open(
    asked: Asked<P, Q>,
    stream: StreamContext,
  ): ((channel: Channel) => Promise<void>) | Promise<(channel: Channel) => Promise<void>>;
}

/** A WebSocket, for what uses it. */
export interface Channel {
  /**
   * Reads messages: a string for a text message, a Buffer for a binary one. Writes Buffers as binary and strings as text
   * messages. To be used with `pipeline`, or with heed to `write` and `drain`: a slow client then pauses the source.
   * Where no messages are wanted, `resume()` it: a client's end comes behind them.
   */
  stream: Duplex;
  /** Sends from a source that cannot be paused. False: the client was too slow, and the stream has ended. */
  push(data: string | Buffer): boolean;
}

/** The signs of life of a WebSocket. */
class Life {
  private answered = true;
  private moved = performance.now();
  /** Bytes of pings and pongs, and of all else, that were sent. */
  private control = 0;
  private sent = 0;

  constructor(
    readonly ws: WebSocket,
    private readonly socket: Socket,
    keepsUp: () => boolean,
  ) {
    ws.on("pong", () => {
      this.answered = true;
    });
    ws.on("message", () => {
      this.answered = true;
      this.moved = performance.now();
    });
    // By itself ws would pile up pongs for a client that only sends pings.
    ws.on("ping", (data) => {
      if (!keepsUp()) return;
      this.control += 2 + data.length;
      ws.pong(data);
    });
  }

  /** False: the one before was not answered. */
  ping(): boolean {
    // While its messages wait to be worked on, nothing more is read, and so no pong.
    if (this.ws.isPaused) return true;
    if (!this.answered) return false;
    this.answered = false;
    this.control += 2;
    this.ws.ping();
    return true;
  }

  /** When a message was last sent or received; of those sent, when this was first asked after it. */
  last(): number {
    const sent = this.socket.bytesWritten - this.control;
    if (sent !== this.sent) this.moved = performance.now();
    this.sent = sent;
    return this.moved;
  }
}

/** As much of the words as the end of a WebSocket takes. */
const reasonIn = (message: string) => new StringDecoder("utf8").write(Buffer.from(message).subarray(0, 123));

/** Pieces of a message, and of what came of a frame, that are kept at most: each costs more than its bytes. */
const pieces = { maxFragments: 256, maxBufferedChunks: 1024 };

/** Streams of the API: Server-Sent Events and WebSockets. Registers their routes. */
export class Streams extends OpenStreams {
  private readonly upgrades = new WeakMap<IncomingMessage, { socket: Socket; head: Buffer }>();
  private readonly paths: { pattern: RegExp; webSocket: boolean }[] = [];

  /** Whether a request asks for a WebSocket where there is one; any other upgrade is answered as if it had not asked. */
  upgradable({ method, headers, url = "" }: IncomingMessage): boolean {
    const asked = method === "GET" && headers.upgrade?.toLowerCase() === "websocket";
    return asked && this.paths.some(({ pattern, webSocket }) => webSocket && pattern.test(pathOf(url)));
  }

  /** Remembers a request that wants to become a WebSocket, before it is routed. */
  upgrading(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.upgrades.set(request, { socket, head });
  }

  /** Whether there is a stream at this path. */
  serves(path: string): boolean {
    return this.paths.some(({ pattern }) => pattern.test(path));
  }

  /** Adds `GET path`, answered with Server-Sent Events. */
  sse<P extends z.ZodType, Q extends z.ZodObject>(
    app: FastifyInstance,
    path: string,
    route: SseRoute<P, Q>,
  ): void {
    const query = { last_event_id: z.string().max(128).optional().describe("In place of Last-Event-ID.") };
    this.add(
      app,
      path,
      route,
      { "text/event-stream": { schema: z.string() } },
      200,
      query,
      async (request, reply) => {
        const open = this.enter(request, reply, {
          finish: (code, message) => {
            const { raw } = reply;
            // Not begun yet: it is refused like any request.
            if (!raw.headersSent || raw.writableEnded) return;
            raw.end(sseText({ event: "end", data: JSON.stringify({ code, message }) }));
            this.hurry(open, raw);
          },
          beat: () => reply.raw.write(sseBeat),
        });
        const header = request.headers["last-event-id"];
        const { last_event_id: asked, ...own } = request.query as { last_event_id?: string };
        const lastEventId = typeof header === "string" ? header : asked;
        const source = await this.begin(open, () =>
          route.open(
            { params: request.params as z.output<P>, query: own as z.output<Q> },
            {
              identity: open.identity,
              signal: open.abort.signal,
              ...(lastEventId !== undefined && { lastEventId }),
            },
          ),
        );
        const { origin } = request.headers;
        reply.hijack();
        // What breaks it also closes it.
        reply.raw.on("error", () => {});
        reply.raw.writeHead(200, {
          ...sseHeaders,
          // It was let in: it is berthd's own, or the ticket's.
          ...(origin !== undefined && { "access-control-allow-origin": origin, vary: "origin" }),
        });
        reply.raw.write(sseStart);
        await this.run(open, async () => {
          for await (const event of source) {
            if (open.abort.signal.aborted) return;
            if (!reply.raw.write(sseText(event)))
              await once(reply.raw, "drain", { signal: open.abort.signal });
          }
        });
      },
    );
  }

  /** Adds `GET path`, which becomes a WebSocket. */
  webSocket<P extends z.ZodType, Q extends z.ZodObject>(
    app: FastifyInstance,
    path: string,
    route: WebSocketRoute<P, Q>,
  ): void {
    const { protocol, idle = 3_600_000 } = route;
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      autoPong: false,
      maxPayload: route.maxMessage ?? 64 * 1024,
      ...pieces,
      // Never what a client made up: some offer a secret as a protocol.
      handleProtocols: (offered) => (protocol !== undefined && offered.has(protocol) ? protocol : false),
    });
    this.add(
      app,
      path,
      route,
      { "application/json": { schema: z.null() } },
      101,
      {},
      async (request, reply) => {
        const upgrade = this.upgrades.get(request.raw);
        if (!upgrade) {
          throw new Refused(
            {
              code: "bad-request",
              message: `${path} is a WebSocket.`,
              fix: "Send Connection: Upgrade and Upgrade: websocket.",
            },
            426,
            { connection: "upgrade", upgrade: "websocket" },
          );
        }
        let life: Life | undefined;
        const open = this.enter(request, reply, {
          finish: (code, message) => {
            life?.ws.close(closeCodes[code], reasonIn(message));
            if (life) this.hurry(open, life.ws);
          },
          beat: () => {
            if (life?.ping() === false) this.end(open, "slow", "The client does not answer.");
          },
          idleAt: () => (life?.last() ?? performance.now()) + idle,
        });
        const use = await this.begin(open, () =>
          route.open(
            { params: request.params as z.output<P>, query: request.query as z.output<Q> },
            {
              identity: open.identity,
              signal: open.abort.signal,
            },
          ),
        );
        reply.hijack();
        reply.raw.detachSocket(upgrade.socket);
        upgrade.socket.once("close", () => this.leave(open));
        server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (ws) => {
          life = new Life(ws, upgrade.socket, () => this.keepsUp(open));
          // The client broke the protocol, and is told so: no failure of what works on the connection.
          ws.on("error", (error) => {
            this.log.debug({ err: error, path }, "a WebSocket broke");
            this.leave(open);
            this.hurry(open, ws);
          });
          const stream = createWebSocketStream(ws, {
            readableObjectMode: true,
            // One message, not sixteen, waits for who reads them.
            readableHighWaterMark: 1,
            decodeStrings: false,
          });
          // Whoever reads it hears of the error; without a listener it would end berthd.
          stream.on("error", () => {});
          const push = (data: string | Buffer) => {
            if (open.abort.signal.aborted || !this.keepsUp(open)) return false;
            ws.send(data);
            return true;
          };
          void this.run(open, () => use({ stream, push }));
        });
      },
    );
  }

  private add<P extends z.ZodType, Q extends z.ZodObject>(
    app: FastifyInstance,
    path: string,
    { description, params, query, guard }: Route<P, Q>,
    content: Record<string, { schema: z.ZodType }>,
    status: number,
    more: z.ZodRawShape,
    handler: (request: FastifyRequest, reply: FastifyReply) => Promise<void>,
  ): void {
    this.paths.push({ pattern: pathPattern(path), webSocket: status === 101 });
    const ticket = z.string().max(128).optional().describe("Of POST /api/tickets, in place of a token.");
    app.get(
      path,
      {
        ...guard,
        config: { ...guard?.config, stream: true },
        schema: {
          ...(params && { params }),
          querystring: z.strictObject({ ...query?.shape, ...more, ticket }),
          response: { ...failures, [status]: { description, content } },
        },
      },
      async (request, reply) => {
        // Nobody reads it while the stream lasts.
        if (bytesOf(request.raw) > 0) {
          throw new Refused({ code: "bad-request", message: "A stream takes no body.", fix: "Send none." });
        }
        // The door has used it.
        delete (request.query as { ticket?: string }).ticket;
        await handler(request, reply);
      },
    );
  }
}
