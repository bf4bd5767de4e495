import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { SETUP_PHASES } from "../../../../core/manager";
import { MANAGED_CREATION } from "../../../../core/names";
import { setupSchema } from "../../setup";
import { answers, granted, identityOf, tenantOf, tenantsAnd } from "../route";
import type { RouteContext } from "../types";

const setupParams = z.strictObject({
  id: z.string().regex(MANAGED_CREATION, "an id of 8 characters of 0-9 and a-f"),
});

export const setup = z.object({
  id: z.string(),
  phase: z.enum(SETUP_PHASES),
  status: z.enum(["setting-up", "ready", "failed"]),
  message: z.string(),
  repo: z.string(),
  branch: z.string().optional(),
  commit: z.string().optional(),
  sequence: z.int().describe("Of the last message to callbackUrl."),
});

/** Has a container of a tenant's set up with a repository. */
export function addSetup(fastify: FastifyInstance, { forTenants }: RouteContext): void {
  if (!forTenants) return;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { setups } = forTenants;

  app.post(
    "/api/containers/:id/setup",
    {
      ...tenantsAnd(forTenants),
      schema: {
        params: setupParams,
        body: setupSchema,
        response: answers(
          202,
          setup,
          "It is noted. With an idempotency key used before: how far that set-up is.",
        ),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const noted = granted(await setups.ask(tenantOf(identityOf(request)) ?? "", id, request.body));
      void reply.code(202);
      return { id, ...noted };
    },
  );
}
