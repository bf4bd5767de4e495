import type { FastifyInstance, FastifyReply } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { isNamed } from "../../config";
import { Refused } from "../failures";
import { accountOf, type Caller } from "../identity";
import { actsFor, answers, callerOf } from "../route";
import * as s from "../schemas";
import type { Ticket, Tickets } from "../tickets";
import type { RouteContext } from "../types";

const ticketBody = z.strictObject({
  /** The path of the stream, without a query. */
  path: z
    .string()
    .max(512)
    .regex(/^\/[^?#\s]*$/),
  /** Whoever uses it is this user. Default: whoever makes it. */
  user: s.text(64).optional(),
  /** Origin of the page that uses it. Default: pages of the address that it connects to. */
  origin: z
    .string()
    .max(256)
    .regex(/^https?:\/\/[^/?#\s]+$/)
    .optional(),
});

export const ticketMade = z.object({
  /** Shown this once; goes into the stream's query as `ticket`. */
  ticket: z.string(),
  path: z.string(),
  expiresAt: s.time,
});

/** One-time tickets for streams, for a browser, which cannot send a token with them. */
export function addTickets(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { tickets, streams } = context;

  /** Whom the ticket is for: the caller, or the user that it names. */
  const holder = (caller: Caller, user: string | undefined): Caller => {
    if (user === undefined) return caller;
    actsFor(caller.identity, user);
    const isUser = () => isNamed(context.node(), "user", user);
    if (!isUser()) {
      throw new Refused({
        code: "unknown-user",
        message: `${user} is not a user of this node.`,
        allowed: "the users that the stack declares for it",
      });
    }
    const { actor, token } = caller.identity;
    return {
      identity: { role: "user", user, actor, ...(token !== undefined && { token }) },
      holds: () => caller.holds() && isUser(),
    };
  };

  app.post(
    "/api/tickets",
    {
      schema: {
        body: ticketBody,
        response: answers(201, ticketMade, "Opens that stream once, within 30 s."),
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const { path, user, origin } = request.body;
      if (!streams.serves(path)) {
        throw new Refused({
          code: "not-found",
          message: `There is no stream ${path} in this API.`,
          allowed: "the paths of /openapi.json that take a ticket",
        });
      }
      const ticket = { ...holder(caller, user), path, ...(origin !== undefined && { origins: [origin] }) };
      return answerTicket(reply, tickets, ticket, accountOf(caller.identity));
    },
  );
}

/** Makes a ticket, which is the answer. @throws {Refused} 429: its maker, or all, have too many */
export function answerTicket(
  reply: FastifyReply,
  tickets: Tickets,
  ticket: Ticket,
  account: string,
): z.infer<typeof ticketMade> {
  const made = tickets.make(ticket, account);
  if (typeof made === "string") {
    throw new Refused(
      {
        code: "busy",
        message:
          made === "account"
            ? "Your account has as many unused tickets as it may have."
            : "All accounts together have as many unused tickets as they may have.",
        allowed: `${tickets.most.account} of one account, ${tickets.most.all} of all`,
        fix: "Use them, or wait 30 s.",
      },
      429,
      { "retry-after": "30" },
    );
  }
  void reply.code(201).header("cache-control", "no-store");
  return { ...made, path: ticket.path };
}
