import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { answers, identityOf, tenantOf, tenantsAnd } from "../route";
import type { RouteContext } from "../types";

const images = z.object({
  default: z.string(),
  allowed: z.array(z.string()).describe("Names, all tags of a name (`node:*`), or ids."),
  templates: z.array(z.object({ name: z.string(), image: z.string() })),
  own: z
    .array(
      z.object({
        id: z.string(),
        shown: z.string(),
        outdated: z
          .boolean()
          .describe(
            "Where it is named, a container begins with what it was made from; its set-up makes it anew.",
          ),
      }),
    )
    .describe("Main images of the tenant's own."),
});

/** Images of which tenants may make containers. */
export function addImages(fastify: FastifyInstance, { forTenants }: RouteContext): void {
  if (!forTenants) return;
  const { manager } = forTenants;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/images",
    {
      ...tenantsAnd(forTenants, "admin", "service"),
      schema: { response: answers(200, images, "Images of which tenants may make containers.") },
    },
    async (request) => manager.images(tenantOf(identityOf(request))),
  );
}
