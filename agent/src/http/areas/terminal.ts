import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Terminal, TerminalSize } from "../../docker";
import type { Logger } from "../../log";
import { noContainer } from "../../manager";
import { pause } from "../../waiting";
import { begun, counter, inParams, noBody, ownerOf } from "../commands";
import { Refused } from "../failures";
import { accountOf } from "../identity";
import { answers, callerOf, identityOf, tenantsAnd } from "../route";
import type { Channel } from "../streams";
import type { RouteContext } from "../types";
import { answerTicket, ticketMade } from "./tickets";

/** What a client offers, if it offers any; a token may stand beside it. */
const PROTOCOL = "berth.terminal.v1";
/** Of an account. */
const MOST_A_MINUTE = 120;
/** Columns, and rows. */
const LARGEST = 1000;
/** dockerd is told of a new size so often at most; of several meanwhile it is told the last one. */
const RESIZE_EVERY_MS = 100;
/** Characters of a text message: it is a few words. */
const LONGEST_CONTROL = 256;

const side = z.coerce.number().int().min(1).max(LARGEST);
const terminalQuery = z.object({
  cols: side.default(80).describe("Of the window at the start."),
  rows: side.default(24),
});

const resizing = z.strictObject({
  type: z.literal("resize"),
  cols: z.int().min(1).max(LARGEST),
  rows: z.int().min(1).max(LARGEST),
});

const description =
  `A shell in the container, as a WebSocket. Binary messages are what is typed, and what is shown. Text
messages are JSON: the client sends {"type":"resize","cols":120,"rows":40}; the server sends {"type":"exit","exitCode":0}
before it closes with 1000 (exitCode null: not known, as when the container is gone). Any other text ends it with
4011. A client without headers may offer its token as a protocol beside ${PROTOCOL}; a page in a browser brings a
ticket. 4003: the token has ended. 4008: the client does not read or answer. 4009: it gave way to others. 4010: nothing
was typed or shown for an hour. Whatever ends it hangs up.`.replaceAll("\n", " ");

/** Terminals in containers: for tenants, and for users in containers that they had made. */
export function addTerminal(fastify: FastifyInstance, context: RouteContext): void {
  const { forTenants, streams, tickets, log } = context;
  if (!forTenants) return;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { commands, origins } = forTenants;
  const owners = tenantsAnd(forTenants, "user");
  const count = counter(MOST_A_MINUTE, "terminals");

  streams.webSocket(fastify, "/api/containers/:id/terminal", {
    description,
    protocol: PROTOCOL,
    guard: owners,
    params: inParams,
    query: terminalQuery,
    open: async ({ params: { id }, query: size }, { identity, signal }) => {
      count(identity);
      const terminal = begun(await commands.terminal(ownerOf(identity), id, { size, signal }));
      return (channel) => connected(terminal, channel, signal, log);
    },
  });

  app.post(
    "/api/containers/:id/terminal/ticket",
    {
      ...owners,
      schema: {
        params: inParams,
        body: noBody,
        response: answers(201, ticketMade, "Opens one terminal there, within 30 s, for whoever has it."),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      if (!commands.owns(ownerOf(identityOf(request)), id)) throw new Refused(noContainer(id));
      const caller = callerOf(request);
      const ticket = { ...caller, path: `/api/containers/${id}/terminal`, origins: origins() };
      return answerTicket(reply, tickets, ticket, accountOf(caller.identity));
    },
  );
}

/** Until the command, the client or `signal` ends it. @throws {Refused} what the client sent makes no sense */
async function connected(
  terminal: Terminal,
  { stream }: Channel,
  signal: AbortSignal,
  log: Pick<Logger, "warn">,
): Promise<void> {
  const { duplex } = terminal;
  const sizes = new Sizes(terminal, signal, log);
  const typed = takeTyped(stream, duplex, sizes, signal);
  // Ends after what is shown has: nobody waits for it then.
  typed.catch(() => {});
  try {
    await Promise.race([show(duplex, stream, signal), typed]);
  } finally {
    duplex.destroy();
    // The client's own end comes behind what it has typed.
    stream.resume();
  }
  const exitCode = await terminal.ended.catch((error: unknown) => {
    log.warn({ err: error }, "a terminal's command may still run");
  });
  if (!signal.aborted) stream.write(JSON.stringify({ type: "exit", exitCode: exitCode ?? null }));
}

/** As fast as the client takes it; to its end, whatever ends it. */
async function show(from: Duplex, to: Duplex, signal: AbortSignal): Promise<void> {
  try {
    for await (const bytes of from) if (!to.write(bytes)) await once(to, "drain", { signal });
  } catch {
    // The connection to the command, or to the client, broke: either is an end, which `ended` and the stream tell of.
  }
}

/** As fast as the command takes it. Leaves the client's connection open. */
async function takeTyped(from: Duplex, to: Duplex, sizes: Sizes, signal: AbortSignal): Promise<void> {
  for await (const message of from.iterator({ destroyOnReturn: false }) as AsyncIterable<string | Buffer>) {
    if (typeof message === "string") sizes.ask(sizeIn(message));
    else if (!to.write(message)) await once(to, "drain", { signal });
  }
}

/** @throws {Refused} what a client is told as its connection ends, in 123 bytes */
function sizeIn(text: string): TerminalSize {
  if (text.length > LONGEST_CONTROL) throw nonsense(`it has more than ${LONGEST_CONTROL} characters`);
  const read = resizing.safeParse(jsonIn(text));
  if (read.success) return read.data;
  throw nonsense(`allowed is {"type":"resize","cols":C,"rows":R}, 1 to ${LARGEST}`);
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw nonsense("it is no JSON; what is typed goes in binary messages");
  }
}

const nonsense = (why: string) =>
  new Refused({ code: "bad-request", message: `A text message makes no sense: ${why}` });

/** Tells dockerd the size of a window, however fast that changes. */
class Sizes {
  private next: TerminalSize | undefined;
  private telling = false;

  constructor(
    private readonly terminal: Terminal,
    private readonly signal: AbortSignal,
    private readonly log: Pick<Logger, "warn">,
  ) {}

  ask(size: TerminalSize): void {
    this.next = size;
    if (!this.telling) void this.tell();
  }

  private async tell(): Promise<void> {
    this.telling = true;
    for (let size = this.next; size !== undefined && !this.signal.aborted; size = this.next) {
      this.next = undefined;
      try {
        await this.terminal.resize(size.cols, size.rows);
      } catch (error) {
        this.log.warn({ err: error }, "the size of a terminal could not be changed");
      }
      await pause(RESIZE_EVERY_MS, this.signal);
    }
    this.telling = false;
  }
}
