import type { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "../log";
import type { Entered } from "./door";
import { Refused } from "./failures";
import { accountOf, type Caller, type Identity } from "./identity";
import { LongRequests, NO_LONGER } from "./long-requests";
import { callerOf } from "./route";
import { originAllowed } from "./tickets";

export interface StreamLimits {
  /** Open streams of one account; operators have no limit of their own. */
  account: number;
  /** The same of a tenant, who serves many people. */
  tenant: number;
  /** Open streams in all. */
  all: number;
  /** Streams that an account always gets. Where all places are taken, the oldest of the account with most gives way. */
  own: number;
  /** Milliseconds between two signs of life. A WebSocket that has not answered one by the next is ended. */
  beat: number;
  /** Milliseconds in which a client that is behind has to read something. */
  stall: number;
  /** Bytes that wait for the client of one WebSocket, whose source cannot be paused. */
  buffer: number;
  /** Milliseconds that a client has to take the end of a stream. */
  end: number;
}

const streamLimits: StreamLimits = {
  account: 32,
  tenant: 96,
  all: 256,
  own: 4,
  beat: 15_000,
  stall: 30_000,
  buffer: 256 * 1024,
  end: 1000,
};

/** Why a stream ends, and the close code of a WebSocket that ends so. */
export const closeCodes = {
  over: 1000,
  closing: 1001,
  failed: 1011,
  "not-allowed": 4003,
  slow: 4008,
  "gave-way": 4009,
  idle: 4010,
  wrong: 4011,
} as const;
type EndCode = keyof typeof closeCodes;

/** An open stream. */
export interface Open extends Caller {
  account: string;
  socket: Socket;
  abort: AbortController;
  /** Ends it towards the client. */
  finish(code: EndCode, message: string): void;
  beat(): void;
  /** Set for a WebSocket: when it ends for want of messages. */
  idleAt?(): number;
  /** Bytes that the kernel had taken, and since when there are no more. */
  taken: number;
  since: number;
  beatAt: number;
}

/** Streams that are open: whoever may not act any more, does not read or does not answer loses theirs. */
export class OpenStreams {
  /** Requests that their callers wait for. */
  readonly requests = new LongRequests();
  /** The oldest first. */
  private readonly open = new Set<Open>();
  private readonly limits: StreamLimits;
  private readonly timer: NodeJS.Timeout;
  private closing = false;

  constructor(
    protected readonly log: Logger,
    limits: Partial<StreamLimits> = {},
  ) {
    this.limits = { ...streamLimits, ...limits };
    this.timer = setInterval(() => this.review(), Math.min(1000, this.limits.beat)).unref();
  }

  /** @throws {Refused} 403: a page of another site; 429, 503: too many */
  protected enter(
    request: FastifyRequest,
    reply: FastifyReply,
    how: Pick<Open, "finish" | "beat" | "idleAt">,
  ): Open {
    const { headers } = request;
    const { socket } = request.raw;
    const caller: Entered = callerOf(request);
    if (!originAllowed(headers.origin, headers.host, caller.ticket?.origins)) {
      throw new Refused({
        code: "not-allowed",
        message: `Pages of ${headers.origin} may not open this stream.`,
        allowed: "programs, pages of this address, and those of the origins that a ticket is for",
        fix: 'Name it when the ticket is made: POST /api/tickets {"path": …, "origin": …}; of a container\'s stream the operator does, in berth:manager.origins.',
      });
    }
    if (this.closing) throw new Refused({ code: "closed", message: "berthd is stopping", fix: "Try again." });
    const account = accountOf(caller.identity);
    this.makeRoom(account, caller.identity.role);
    const now = performance.now();
    const open: Open = {
      ...caller,
      ...how,
      account,
      socket,
      abort: new AbortController(),
      taken: 0,
      since: now,
      beatAt: now,
    };
    this.open.add(open);
    // Finds out connections whose other end is gone without a word.
    if (socket.remoteAddress !== undefined) socket.setKeepAlive(true, 30_000);
    reply.raw.once("close", () => this.leave(open));
    return open;
  }

  private makeRoom(account: string, role: Identity["role"]): void {
    const { limits } = this;
    const most = role === "admin" ? Infinity : role === "tenant" ? limits.tenant : limits.account;
    const crowds = new Map<string, Open[]>();
    for (const one of this.open) crowds.set(one.account, [...(crowds.get(one.account) ?? []), one]);
    const mine = crowds.get(account)?.length ?? 0;
    const busy = (message: string, status: number) =>
      new Refused(
        {
          code: "busy",
          message,
          allowed: `${limits.own} open streams of each account, and beyond that ${limits.account} of one (of a tenant ${limits.tenant}), ${limits.all} of all`,
          fix: "Close one, then ask again.",
        },
        status,
        { "retry-after": "5" },
      );
    if (mine >= most) {
      throw busy(`Your account has ${mine} open streams, as many as it may have.`, 429);
    }
    if (this.open.size < limits.all) return;
    const [largest] = [...crowds.values()].sort((a, b) => b.length - a.length);
    const oldest = largest?.[0];
    if (mine >= limits.own || !oldest || largest.length <= limits.own) {
      throw busy("All accounts together have as many open streams as they may have.", 503);
    }
    this.end(oldest, "gave-way", "Others have room for few streams; this was the oldest of who has most.");
  }

  /** What opens the source; where that fails, the stream was none. */
  protected async begin<T>(open: Open, source: () => T | Promise<T>): Promise<T> {
    try {
      const made = await source();
      if (!open.abort.signal.aborted) return made;
      throw new Refused({ code: "closed", message: "The stream ended before it began.", fix: "Try again." });
    } catch (error) {
      this.leave(open);
      throw error;
    }
  }

  protected async run(open: Open, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.end(open, "over", "That was all.");
    } catch (error) {
      // Its end makes the source and the wait for the client fail.
      if (open.abort.signal.aborted) return;
      if (error instanceof Refused) {
        this.end(open, "wrong", error.message);
        return;
      }
      this.log.error({ err: error, account: open.account }, "a stream failed");
      this.end(open, "failed", "berthd could not go on with it; see its log.");
    }
  }

  /** False: the client is too far behind, and the stream has ended. */
  protected keepsUp(open: Open): boolean {
    if (open.socket.writableLength <= this.limits.buffer) return true;
    this.end(open, "slow", "The client does not read what it is sent.");
    return false;
  }

  protected end(open: Open, code: EndCode, message: string): void {
    if (!this.open.has(open)) return;
    if (code !== "over") this.log.info({ account: open.account, code }, `a stream ended: ${message}`);
    open.finish(code, message);
    this.leave(open);
  }

  protected leave(open: Open): void {
    this.open.delete(open);
    open.abort.abort();
  }

  /** What the client does not take in time is dropped with its connection. */
  protected hurry(open: Open, closing: { once(event: "close", listener: () => void): unknown }): void {
    const late = setTimeout(() => open.socket.destroy(), this.limits.end);
    closing.once("close", () => clearTimeout(late));
  }

  /** Ends the streams of whoever may not act any more, does not read, or does not answer; and what the first of these wait for. */
  review(): void {
    this.requests.review();
    const now = performance.now();
    for (const open of [...this.open]) {
      if (!open.holds()) {
        this.end(open, "not-allowed", NO_LONGER);
        continue;
      }
      const { socket } = open;
      const taken = socket.bytesWritten - socket.writableLength;
      const behind = socket.writableLength > 0;
      if (!behind || taken > open.taken) {
        open.taken = taken;
        open.since = now;
      }
      if (now - open.since >= this.limits.stall) {
        this.end(open, "slow", "The client does not read what it is sent.");
      } else if (open.idleAt && now >= open.idleAt()) {
        this.end(open, "idle", "Nothing was sent for a long time.");
      } else if (!behind && now - open.beatAt >= this.limits.beat) {
        open.beatAt = now;
        open.beat();
      }
    }
  }

  /** Ends the streams on these connections: berthd does not listen there any more. */
  endOn(sockets: ReadonlySet<Socket>): void {
    for (const open of [...this.open]) {
      if (sockets.has(open.socket)) this.end(open, "closing", "berthd does not listen here any more.");
    }
  }

  /** Ends all, and lets none begin. */
  close(): void {
    this.closing = true;
    clearInterval(this.timer);
    for (const open of [...this.open]) this.end(open, "closing", "berthd is stopping; connect again.");
  }
}
