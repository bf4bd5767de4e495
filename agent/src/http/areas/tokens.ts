import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { StoredToken } from "../../store";
import { longestKeep } from "../../token-keep";
import { adminOnly, answers, granted, identityOf } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

const tokenBody = z.strictObject({
  role: z.enum(s.roles),
  /** For role `user`, whose grants it may touch; for role `tenant`, which tenant it stands for. Others need none. */
  owner: s.text(64).optional(),
  name: s.text(128).optional(),
  /** Default: never. */
  expires_in_seconds: z
    .int()
    .min(1)
    .max(10 * 366 * 86_400)
    .optional(),
  /** Default: what the role may send. */
  requests_per_minute: z.int().min(1).max(1_000_000).optional(),
});

const rotateBody = z.strictObject({
  keep_seconds: z
    .int()
    .min(0)
    .max(longestKeep)
    .default(86_400)
    .describe(
      "How long the old token stays good; never longer than it was. 0: it ends, with its streams, before this is answered.",
    ),
});

const token = z.object({
  id: z.string(),
  name: z.string().optional(),
  role: z.enum(s.roles),
  owner: z.string().optional(),
  createdAt: s.time,
  expiresAt: s.time.optional(),
  requestsPerMinute: z.int().optional(),
  revokedAt: s.time.optional(),
  replacedBy: z.string().optional().describe("Id of the token that was made in its place."),
  lastUsedAt: s.time.optional(),
  declared: z.boolean().optional().describe("It came with the stack, or was made in place of such a one."),
});

export const tokens = z.object({ tokens: z.array(token) });

export const tokenMade = token.extend({
  /** Shown this once: only its hash is kept. */
  token: z.string(),
});

export const tokenRotated = tokenMade.extend({ replaces: token.describe("The old one, as it is now.") });

/** Without the hash: nobody needs it. */
function shownToken({ hash: _, ...shown }: StoredToken) {
  return shown;
}

/** Bearer tokens, made, replaced and revoked by operators. */
export function addTokens(fastify: FastifyInstance, { tokens: kept, streams }: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/api/tokens",
    { ...adminOnly, schema: { response: answers(200, tokens, "All tokens, without their secrets.") } },
    async () => ({ tokens: kept.list().map(shownToken) }),
  );

  app.post(
    "/api/tokens",
    {
      ...adminOnly,
      schema: { body: tokenBody, response: answers(201, tokenMade, "The token, shown this once.") },
    },
    async (request, reply) => {
      const { role, owner, name, expires_in_seconds, requests_per_minute } = request.body;
      const made = granted(
        await kept.create(
          {
            role,
            owner,
            name,
            expiresInSeconds: expires_in_seconds,
            requestsPerMinute: requests_per_minute,
          },
          identityOf(request).actor,
        ),
      );
      void reply.code(201).header("cache-control", "no-store");
      return { ...shownToken(made.record), token: made.token };
    },
  );

  app.post(
    "/api/tokens/:id/rotate",
    {
      ...adminOnly,
      schema: {
        params: s.idParams,
        body: rotateBody,
        response: answers(
          201,
          tokenRotated,
          "A token for the same, shown this once, that lives as long as the old one was made for.",
        ),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { actor } = identityOf(request);
      const made = granted(await kept.rotate(id, request.body.keep_seconds, actor));
      streams.review();
      void reply.code(201).header("cache-control", "no-store");
      return { ...shownToken(made.record), token: made.token, replaces: shownToken(made.old) };
    },
  );

  app.delete(
    "/api/tokens/:id",
    { ...adminOnly, schema: { params: s.idParams, response: answers(200, token, "Revoked.") } },
    async (request) => {
      const revoked = granted(await kept.revoke(request.params.id, identityOf(request).actor));
      // What it has open ends before this is answered.
      streams.review();
      return shownToken(revoked);
    },
  );
}
