import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { ContainerRecord } from "../../containers";
import { managedSchema } from "../../manager";
import { Refused } from "../failures";
import { forAll, type Identity, sees } from "../identity";
import {
  actsFor,
  adminOnly,
  answers,
  bodyReadLater,
  granted,
  identityOf,
  NODES,
  readBody,
  selfOf,
  tenantOf,
  tenantsAnd,
} from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";
import { managed, managedList, tenantCaller } from "./managed";

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

export const created = z.object({ id: z.string(), name: z.string(), grant: s.grant.optional() });

const removed = z.object({ id: z.string() });

export const container = z.object({
  id: z.string(),
  name: z.string(),
  /** `system`: a part of Berth itself. */
  user: z.string(),
  kind: z.enum(["workspace", "created", "own"]).describe("own: a part of Berth itself."),
  image: z.string(),
  state: z.enum(["created", "running", "paused", "restarting", "removing", "exited", "dead"]),
  health: z.enum(["starting", "healthy", "unhealthy"]).optional(),
  createdAt: s.time,
  startedAt: s.time.optional(),
  finishedAt: s.time.optional(),
  exitCode: z.int().optional(),
  ports: z.array(z.object({ container: z.int(), protocol: z.string(), address: z.string(), host: z.int() })),
  /** A grant's id, or the key of a declared one. */
  grant: z.string().optional(),
});

export const containers = z.object({ containers: z.array(container) });

const containersQuery = z.strictObject({ user: s.text(64).optional() });

/** What the API tells of a container; undefined: it is none of Berth's. */
function containerView(record: ContainerRecord): z.infer<typeof container> | undefined {
  const { owner, kind } = record;
  if (owner === undefined || kind === "other") return undefined;
  const { id, name, image, state, health, createdAt, startedAt, finishedAt, exitCode, ports, grant } = record;
  return {
    ...{ id, name, user: owner, kind, image, state, createdAt, ports: ports.map((port) => ({ ...port })) },
    ...(health !== undefined && { health }),
    ...(startedAt !== undefined && { startedAt }),
    ...(finishedAt !== undefined && { finishedAt }),
    ...(exitCode !== undefined && { exitCode }),
    ...(grant !== undefined && { grant }),
  };
}

/** Containers of people, those that berthd makes for them, and those that Docker held back. */
export function addContainers(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { ledger, creator, containers: known, forTenants, streams } = context;
  const manager = forTenants?.manager;
  /** Tenants see their own, by the ids of the manager; everybody else sees Berth's. */
  const open = tenantsAnd(forTenants, ...NODES);

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

  app.get(
    "/api/containers",
    {
      ...open,
      schema: {
        querystring: containersQuery,
        response: answers(
          200,
          manager === undefined ? containers : z.union([containers, managedList]),
          "Berth's containers on this node, as they were last seen; to a tenant, its own.",
        ),
      },
    },
    async (request) => {
      const identity = identityOf(request);
      const tenant = tenantOf(identity);
      if (tenant !== undefined) return { containers: manager?.list(tenant) ?? [] };
      const { user } = request.query;
      const whose = forAll(identity) ? user : actsFor(identity, user);
      await known.current();
      return { containers: known.list(whose).flatMap((record) => containerView(record) ?? []) };
    },
  );

  app.get(
    "/api/containers/:id",
    {
      ...open,
      schema: {
        params: s.idParams,
        response: answers(
          200,
          manager === undefined ? container : z.union([container, managed]),
          "The container, by its whole id or its name; to a tenant, by the id that it was given.",
        ),
      },
    },
    async (request) => {
      const identity = identityOf(request);
      const { id } = request.params;
      const tenant = tenantOf(identity);
      if (tenant !== undefined && manager !== undefined) return granted(manager.get(tenant, id));
      await known.current();
      const record = known.get(id);
      const view = record && containerView(record);
      if (view && sees(identity, view.user)) return view;
      throw new Refused({
        code: "not-found",
        message: `There is no container ${id}.`,
        fix: "See: berth container list",
      });
    },
  );

  if (!creator) return;

  app.post(
    "/api/containers",
    {
      ...open,
      ...bodyReadLater,
      schema: {
        body: manager === undefined ? creator.schema : z.union([creator.schema, managedSchema]),
        response: answers(
          201,
          manager === undefined ? created : z.union([created, managed]),
          "It runs, with its grant; a tenant's was made, or taken from a pool.",
        ),
      },
    },
    async (request, reply) => {
      const identity = identityOf(request);
      const tenant = tenantOf(identity);
      if (tenant !== undefined && manager !== undefined) {
        const wish = readBody(managedSchema, request.body);
        const create = (signal: AbortSignal) => manager.create(wish, tenantCaller(identity, tenant), signal);
        const given = granted(await streams.requests.run(request, reply, create));
        void reply.code(201);
        return given;
      }
      const body = readBody(creator.schema, request.body) as { user?: string };
      const wanted = { ...body, user: actsFor(identity, body.user) };
      const create = (signal: AbortSignal) => creator.port.create(wanted, createCaller(identity), signal);
      const made = granted(await streams.requests.run(request, reply, create));
      void reply.code(201);
      return made;
    },
  );

  app.delete(
    "/api/containers/:id",
    {
      ...open,
      schema: { params: s.idParams, response: answers(200, removed, "It is gone, and its grant is over.") },
    },
    async (request) => {
      const identity = identityOf(request);
      const { id } = request.params;
      const tenant = tenantOf(identity);
      if (tenant !== undefined && manager !== undefined) return granted(await manager.remove(tenant, id));
      // One of a tenant's goes as its tenant would have it go, whoever says so.
      const creation = forAll(identity) ? known.get(id)?.creation : undefined;
      const ofTenant = creation === undefined ? undefined : manager?.removeAny(creation);
      return granted(await (ofTenant ?? creator.port.remove(id, createCaller(identity))));
    },
  );
}

/** A person has to do with their own containers alone. */
const createCaller = (identity: Identity) => ({
  actor: identity.actor,
  ...(!forAll(identity) && { user: selfOf(identity) }),
});
