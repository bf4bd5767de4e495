import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { FastifyContextConfig, FastifyRequest } from "fastify";
import type { Metrics } from "../metrics";
import type { Rate } from "../rate";
import { noSuchPath, notAllowed, Refused } from "./failures";
import { network } from "./guests";
import { accountOf, type Caller, type Identity } from "./identity";
import { pathOf } from "./route";
import { type Ticket, type Tickets, ticketOf } from "./tickets";
import { TOKEN_PREFIX, TOKEN_SHAPE } from "./token-words";
import type { Tokens } from "./tokens";

/**
 * Who is at the other end of a connection, decided anew for each request; `tcp`: by its token. `tenants`: it came to the container
 * manager's own listener, where there is nobody and nothing else.
 */
export type Connection =
  | { kind: "known"; identity: Identity }
  | { kind: "stranger"; why: string }
  | { kind: "tcp"; tenants?: boolean };

/** Says who that is now: users come and go while a connection is open. */
export type Who = () => Connection;

export interface DoorOptions {
  tokens: Tokens;
  tickets: Tickets;
  /** Of tries without a good token, by address; so many a minute. */
  tries: Rate;
  mostTries: number;
  metrics: Metrics;
  /** Left out: the node has no tenants. */
  forTenants?: { manager: { isLeaving(tenant: string): boolean } };
}

/** Who calls; `ticket`: it came by one, which may be for pages of some origins. */
export type Entered = Caller & { ticket?: Pick<Ticket, "origins"> };

/** What a request shows to be let in: what its header of that name says, or a token among the protocols of a WebSocket. */
const shownBy = ({ authorization, upgrade, "sec-websocket-protocol": protocols }: IncomingHttpHeaders) =>
  authorization ?? (upgrade === undefined ? undefined : bearerAmong(protocols));

/** A token has no character that the name of a protocol may not have. */
function bearerAmong(protocols: string | undefined): string | undefined {
  const names = protocols?.split(",").map((one) => one.trim()) ?? [];
  const token = names.find((one) => TOKEN_SHAPE.test(one) || one.startsWith(TOKEN_PREFIX));
  return token === undefined ? undefined : `Bearer ${token}`;
}

const tokenOf = (shown: string | undefined) => /^Bearer ([\x21-\x7e]+)$/i.exec(shown ?? "")?.[1];

/** Whose token or ticket a request over TCP brings; undefined: none that is good. A ticket stays unused. */
export function presented(
  { headers, url = "" }: IncomingMessage,
  { tokens, tickets }: DoorOptions,
): Identity | undefined {
  const ticket = ticketOf(url);
  const found = ticket === undefined ? undefined : tickets.find(ticket, pathOf(url));
  if (found) return found.identity;
  const token = tokenOf(shownBy(headers));
  return token === undefined ? undefined : tokens.identify(token);
}

/**
 * Who sends a request. Null: nobody that is known, on a route that is open to all.
 * @throws {Refused} 401, 403, 429
 */
export function identify(
  request: FastifyRequest,
  who: Who | undefined,
  options: DoorOptions,
): Entered | null {
  if (hasToken(request.url)) throw tokenInAddress();
  const connection = who?.();
  const ticket = request.routeOptions.config.stream === true ? ticketOf(request.url) : undefined;
  if (who && connection?.kind === "known") {
    const { identity } = connection;
    const caller = { identity, holds: () => isStill(identity, who()) };
    return ticket === undefined ? caller : byTicket(request, ticket, caller, options);
  }
  if (connection?.kind !== "tcp") {
    throw new Refused({
      code: "not-allowed",
      message: connection?.kind === "stranger" ? connection.why : "It is not known who calls.",
      allowed: "root, and the users that the stack declares for this node",
      fix: "Use the socket of your workspace, or ask the operator to declare you in berth:users.",
    });
  }
  const forTenants = connection.tenants === true;
  const entered = overTcp(request, ticket, options, forTenants);
  const { tenant } = entered?.identity ?? {};
  if (tenant !== undefined && options.forTenants?.manager.isLeaving(tenant)) throw stillLeaving(tenant);
  if (forTenants && entered && entered.identity.role !== "tenant") throw notForTenants(entered.identity);
  return entered;
}

/** Whether there is a route at the container manager's listener: for tenants, or open to all. */
export const isTenants = ({ tenants, open }: FastifyContextConfig = {}) => tenants === true || open === true;

/** Whether the connection came to the container manager's listener. */
export const toManager = (connection: Connection | undefined) =>
  connection?.kind === "tcp" && connection.tenants === true;

/**
 * Who calls, as a route has it. A tenant reaches those routes alone that say so; to what is open to all it is a stranger.
 * @throws {Refused} 403; 404 where the others are not there at all
 */
export function admit(
  { routeOptions, is404, url }: FastifyRequest,
  caller: Entered | null,
  connection: Connection | undefined,
): Entered | null {
  const { tenants, open } = routeOptions.config;
  if (toManager(connection) && !is404 && !isTenants(routeOptions.config)) throw noSuchPath(pathOf(url));
  if (caller?.identity.role !== "tenant" || tenants === true) return caller;
  if (open === true || is404) return null;
  throw notAllowed("This", "tokens of role tenant");
}

function overTcp(
  request: FastifyRequest,
  ticket: string | undefined,
  { tokens, tickets, tries, mostTries, metrics }: DoorOptions,
  forTenants: boolean,
): Entered | null {
  const shown = shownBy(request.headers);
  if (ticket !== undefined) {
    const used = tickets.take(ticket, pathOf(request.url));
    if (used) return entered(used);
  } else {
    const token = tokenOf(shown);
    const identity = token === undefined ? undefined : tokens.identify(token);
    if (identity) return { identity, holds: () => tokens.holds(identity.token ?? "") };
    if (shown === undefined && request.routeOptions.config.open === true) return null;
  }
  metrics.authFailed();
  const address = request.raw.socket.remoteAddress ?? "";
  // Those with a good token are served whatever others of the same address do; no token at all is no try.
  const tried = shown !== undefined || ticket !== undefined;
  const wait = tried ? tries.take(network(address), mostTries) : 0;
  if (wait > 0) {
    throw new Refused(
      {
        code: "busy",
        message: `Too many requests without a good token from ${address}.`,
        fix: `Wait ${wait} s, then send a good token.`,
      },
      429,
      { "retry-after": String(wait) },
    );
  }
  if (ticket !== undefined) throw badTicket();
  throw new Refused(
    {
      code: "not-allowed",
      message:
        shown === undefined
          ? "A bearer token is missing."
          : "The bearer token is unknown, expired or revoked.",
      ...(forTenants ? tenantsToken : anyToken),
    },
    401,
    { "www-authenticate": 'Bearer realm="berthd"' },
  );
}

/** On a Unix socket a ticket says for whom root asks; anybody else brings their own alone. */
function byTicket(
  request: FastifyRequest,
  ticket: string,
  caller: Caller,
  { tickets }: DoorOptions,
): Entered {
  const path = pathOf(request.url);
  const found = tickets.find(ticket, path);
  const own =
    caller.identity.role === "admin" || (found && accountOf(found.identity) === accountOf(caller.identity));
  if (!found || !own) throw badTicket();
  tickets.take(ticket, path);
  return { ...entered(found), holds: () => found.holds() && caller.holds() };
}

const entered = ({ identity, holds, origins }: Ticket): Entered => ({ identity, holds, ticket: { origins } });

const anyToken = {
  allowed: "Authorization: Bearer berth_…",
  fix: "Make one on the node: berth token create",
};

const tenantsToken = {
  allowed: "Authorization: Bearer TOKEN, of a tenant (DOCKER_API_SECRET)",
  fix: "Ask the operator, who sees it with: npm run status -- --env NODE",
};

const notForTenants = ({ role }: Identity) =>
  new Refused({
    code: "not-allowed",
    message: `Tokens of role ${role} are not taken at the container manager's port.`,
    allowed: "tokens of tenants",
    fix: "Use berthd's socket or its own port on the node, and replace this token if the way here was not encrypted: berth token rotate",
  });

/** Another one of that name may have been named since; what the former had is none of theirs. */
const stillLeaving = (tenant: string) =>
  new Refused(
    {
      code: "closed",
      message: `What an earlier tenant called ${tenant} had is still being removed from this node.`,
      fix: "Try again in some seconds; if it stays so, tell the operator, whose log says what cannot be removed.",
    },
    503,
    { "retry-after": "10" },
  );

function isStill(identity: Identity, now: Connection): boolean {
  return now.kind === "known" && now.identity.role === identity.role && now.identity.user === identity.user;
}

/** Whether a request's address has a bearer token in it, as a parameter of that name or anywhere in its query. */
function hasToken(url: string): boolean {
  const at = url.indexOf("?");
  if (at < 0) return false;
  const query = new URLSearchParams(url.slice(at + 1));
  const named = ["token", "access_token"].some((name) => query.has(name));
  return named || [...query].flat().some((text) => TOKEN_SHAPE.test(text));
}

function tokenInAddress(): Refused {
  return new Refused({
    code: "bad-request",
    message: "A token in an address is refused: addresses are written into logs and histories.",
    allowed:
      "Authorization: Bearer berth_…; of a WebSocket also the token among its protocols, beside the one that it speaks; of a stream in a browser a one-time ticket",
    fix: "Send it in the header, or make a ticket: POST to the path of the stream with /ticket behind it. Take the token that was sent for known to others, and replace it.",
  });
}

function badTicket(): Refused {
  return new Refused(
    {
      code: "not-allowed",
      message: "The ticket is unknown, used, expired, or not for this path and caller.",
      allowed: "a ticket for one stream, once, within 30 s",
      fix: "Make another where you made this one.",
    },
    401,
  );
}
