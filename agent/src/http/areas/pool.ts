import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { answers, identityOf, tenantOf, tenantsAnd } from "../route";
import type { RouteContext } from "../types";

const pools = z.object({
  pools: z.array(
    z.object({
      template: z.string(),
      image: z.string(),
      target: z.int(),
      min: z.int(),
      ready: z.int(),
      warming: z.int().describe("Those that are being made included."),
      failing: z
        .boolean()
        .describe("The last try to fill it failed; it is tried again, less and less often."),
      problem: z.string().optional().describe("For operators and programs."),
    }),
  ),
});

/** The pools of the node's templates. */
export function addPool(fastify: FastifyInstance, { forTenants }: RouteContext): void {
  if (!forTenants) return;
  const { manager } = forTenants;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/pool",
    {
      ...tenantsAnd(forTenants, "admin", "service"),
      schema: { response: answers(200, pools, "Containers that stand ready, by template.") },
    },
    async (request) => {
      const isTenant = tenantOf(identityOf(request)) !== undefined;
      return {
        pools: manager.pools().map(({ problem, ...pool }) => ({
          ...{ ...pool, failing: problem !== undefined },
          ...(problem !== undefined && !isTenant && { problem }),
        })),
      };
    },
  );
}
