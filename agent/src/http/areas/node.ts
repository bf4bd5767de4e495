import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { forAll } from "../identity";
import { answers, identityOf, selfOf } from "../route";
import { roles } from "../schemas";
import type { RouteContext } from "../types";

export const health = z.object({
  status: z.enum(["ok", "degraded"]),
  reasons: z.array(z.string()).optional().describe("What is wrong; to whoever is known alone."),
  containerCount: z
    .int()
    .optional()
    .describe("Of tenants and of the pools, where the node has a container manager."),
  uptime: z.number().optional().describe("Of berthd, in seconds; likewise."),
});

const ready = z.object({ ready: z.boolean(), reason: z.string().optional() });

export const whoami = z.object({
  role: z.enum(roles),
  user: z.string().optional(),
  /** As events name the caller. */
  actor: z.string(),
});

/** How berthd is, and who calls. */
export function addNode(fastify: FastifyInstance, { ledger, forTenants, metrics }: RouteContext): void {
  const manager = forTenants?.manager;
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/health",
    { config: { open: true }, schema: { security: [], response: answers(200, health, "How berthd is.") } },
    async ({ identity }) => {
      const counts =
        manager?.config === undefined ? {} : { containerCount: manager.size, uptime: process.uptime() };
      // A stranger learns whether it is well, and no reason.
      if (!identity) return { status: ledger.health().status, ...counts };
      return { ...ledger.health(forAll(identity) ? undefined : selfOf(identity)), ...counts };
    },
  );

  app.get(
    "/ready",
    {
      config: { open: true },
      schema: {
        security: [],
        response: {
          ...answers(200, ready, "New grants are made."),
          503: ready.describe("Nothing new is granted at the moment."),
        },
      },
    },
    async ({ identity }, reply) => {
      const closed = ledger.closed();
      if (closed === undefined) return { ready: true };
      void reply.code(503);
      return { ready: false, ...(identity && { reason: closed }) };
    },
  );

  app.get("/api/whoami", { schema: { response: answers(200, whoami, "Who calls.") } }, async (request) => {
    const { role, user, actor } = identityOf(request);
    return { role, ...(user !== undefined && { user }), actor };
  });

  app.get("/metrics", { schema: { hide: true } }, async (_request, reply) => {
    void reply.type(metrics.contentType);
    return metrics.text();
  });
}
