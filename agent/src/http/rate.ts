import fastifyRateLimit from "@fastify/rate-limit";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Refused } from "./failures";
import type { Identity, Tokens } from "./identity";

/**
 * Requests a minute, by role: of a token, and of a user's socket. `npm run up` and the node's root are admins, and a
 * large stack asks a lot at a time. A token may have a number of its own.
 */
const perMinute: Record<Identity["role"], number> = { admin: Infinity, service: 6000, user: 1200 };

/** Checks that a caller does not ask too often; the check throws Refused, status 429. */
export async function rateLimit(
  app: FastifyInstance,
  tokens: Tokens,
): Promise<(request: FastifyRequest) => Promise<void>> {
  await app.register(fastifyRateLimit, { global: false });
  const mostOf = ({ role, token }: Identity) =>
    (token === undefined ? undefined : tokens.rateOf(token)) ?? perMinute[role];
  const count = app.createRateLimit({
    timeWindow: 60_000,
    keyGenerator: ({ identity }) => identity?.actor ?? "",
    max: ({ identity }) => (identity ? mostOf(identity) : 0),
    // Who has shown no token has only what is open to all, and few connections.
    allowList: ({ identity }) => !identity || mostOf(identity) === Infinity,
  });
  return async (request) => {
    const counted = await count(request);
    if (counted.isAllowed || !counted.isExceeded) return;
    const wait = Math.max(1, counted.ttlInSeconds);
    throw new Refused(
      {
        code: "busy",
        message: `${request.identity?.actor} has sent as many requests as it may in a minute.`,
        allowed: `${counted.max} requests a minute`,
        fix: `Wait ${wait} s, then ask again. For a program that needs more: berth token create --rate N`,
      },
      429,
      { "retry-after": String(wait) },
    );
  };
}
