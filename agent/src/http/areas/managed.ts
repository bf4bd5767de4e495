import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { claimSchema, type TenantCaller } from "../../manager";
import type { Identity } from "../identity";
import { answers, granted, identityOf, tenantOf, tenantsAnd } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

/** A tenant's container. */
export const managed = z.object({
  id: z.string().describe("8 hexadecimal digits."),
  name: z.string(),
  status: z
    .enum(["creating", "running", "stopped", "removing", "unknown"])
    .describe("unknown: dockerd was not asked yet, or does not know it any more."),
  image: z.string(),
  hostPort: z.int().nullable().describe("Of the first port; null: it publishes none."),
  ports: z.record(z.string(), z.int()).describe("Ports of the node, by those of the container."),
  fromPool: z.boolean().describe("It stood ready before it was asked for."),
  pool: z.boolean().describe("As it was asked for."),
  template: z.string().optional(),
  memoryMiB: z.number(),
  cpus: z.number(),
  createdAt: s.time,
  logsUrl: z.string(),
  terminalUrl: z.string(),
  setup: z
    .object({ phase: z.string(), status: z.string(), message: z.string().optional() })
    .optional()
    .describe("Left out: none was begun."),
});

export const managedList = z.object({ containers: z.array(managed) });

export const tenantCaller = ({ actor }: Identity, owner: string): TenantCaller => ({ owner, actor });

/** What tenants do with their containers beside making and removing them. */
export function addManaged(fastify: FastifyInstance, { forTenants, streams }: RouteContext): void {
  if (!forTenants) return;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { manager } = forTenants;
  const theirs = tenantsAnd(forTenants);
  const callerOf = (request: { identity: Identity | null }) => {
    const identity = identityOf(request);
    return tenantCaller(identity, tenantOf(identity) ?? "");
  };

  app.post(
    "/api/containers/claim",
    {
      ...theirs,
      schema: {
        body: claimSchema,
        response: answers(201, managed, "Taken from the template's pool, or made where none stood ready."),
      },
    },
    async (request, reply) => {
      const claim = (signal: AbortSignal) => manager.claim(request.body, callerOf(request), signal);
      const given = granted(await streams.requests.run(request, reply, claim));
      void reply.code(201);
      return given;
    },
  );

  for (const act of ["stop", "start"] as const)
    app.post(
      `/api/containers/:id/${act}`,
      {
        ...theirs,
        schema: {
          params: s.idParams,
          response: answers(
            200,
            managed,
            act === "stop" ? "It is stopped, and keeps its ports." : "It runs.",
          ),
        },
      },
      async (request) => granted(await manager[act](callerOf(request).owner, request.params.id)),
    );
}
