import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { answers, tenantsAnd } from "../route";
import type { RouteContext } from "../types";

const bound = z
  .enum(["memory", "cpus", "pids", "disk"])
  .describe("What does not suffice for one more than that.");
const more = z.int().min(0).describe("Containers that fit, if no other is made.");

const capacity = z.object({
  more: more.describe("Of 512 MiB and one CPU."),
  bound,
  templates: z.array(
    z.object({
      name: z.string(),
      more,
      bound,
      ready: z.int().describe("Beside those: they stand in the pool."),
    }),
  ),
});

/** How many containers more the node takes. */
export function addCapacity(fastify: FastifyInstance, { forTenants }: RouteContext): void {
  if (!forTenants) return;
  const { manager } = forTenants;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/capacity",
    {
      ...tenantsAnd(forTenants, "admin", "service"),
      schema: { response: answers(200, capacity, "How many containers more the node takes.") },
    },
    async () => manager.capacity(),
  );
}
