import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { adminOnly, answers, goneSignal, granted, identityOf, programOnly } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

const heldBack = z.object({
  containers: z.array(
    z.object({
      container: z.string(),
      name: z.string(),
      user: z.string(),
      why: z.string(),
      next: s.time.optional(),
    }),
  ),
});

const created = z.object({ id: z.string(), name: z.string(), grant: s.grant.optional() });

const removed = z.object({ id: z.string() });

/** Containers that berthd makes, and those that Docker held back. */
export function addContainers(fastify: FastifyInstance, { ledger, creator }: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/api/held-back",
    {
      ...adminOnly,
      schema: {
        response: answers(200, heldBack, "Containers that should run, that Docker could not start."),
      },
    },
    async () => ({ containers: ledger.heldBackNow() }),
  );

  if (!creator) return;

  app.post(
    "/api/containers",
    {
      ...programOnly,
      schema: { body: creator.schema, response: answers(201, created, "It runs, with its grant.") },
    },
    async (request, reply) => {
      const created = granted(
        await creator.port.create(request.body, { actor: identityOf(request).actor }, goneSignal(reply)),
      );
      void reply.code(201);
      return created;
    },
  );

  app.delete(
    "/api/containers/:id",
    { ...programOnly, schema: { params: s.idParams, response: answers(200, removed, "It is gone.") } },
    async (request) =>
      granted(await creator.port.remove(request.params.id, { actor: identityOf(request).actor })),
  );
}
