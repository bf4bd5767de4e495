import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Assignment, DeclaredGrant, Refusal } from "../../../core/gpu";
import type { StoredToken } from "../store";
import { notAllowed, Refused } from "./failures";
import type { Identity } from "./identity";
import * as s from "./schemas";
import { answers, goneSignal, granted, identityOf } from "./shared";
import type { RouteContext } from "./types";

/** Bytes: a node's declared grants, and the units of each. */
const declaredBodyLimit = 4 * 1024 * 1024;

/** Without the hash: nobody needs it. */
function shownToken({ hash: _, ...token }: StoredToken) {
  return token;
}

/** Routes that are not for users: tokens, the stack's grants, binding, containers. */
export function addOperatorRoutes(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { ledger, tokens, creator } = context;

  const only =
    (roles: readonly Identity["role"][], what: string) => (request: { identity: Identity | null }) => {
      const identity = identityOf(request);
      if (!roles.includes(identity.role)) throw notAllowed(what, identity.user ?? `role ${identity.role}`);
      return identity;
    };
  const admin = only(["admin"], "This");
  const program = only(["admin", "service"], "This");
  // Before the body is read: who may not call sends no large one, and hears nothing of what would be right.
  const adminOnly = { onRequest: async (request: { identity: Identity | null }) => void admin(request) };
  const programOnly = {
    onRequest: async (request: { identity: Identity | null }) => void program(request),
  };

  app.post(
    "/api/grants/:id/bind",
    {
      ...programOnly,
      schema: {
        params: s.idParams,
        body: s.bindBody,
        response: answers(
          200,
          s.grant,
          "Bound. The container may start later: the grant is kept for as long as a reservation lasts, until it is seen.",
        ),
      },
    },
    async (request) => {
      const { actor } = identityOf(request);
      return granted(await ledger.bind({ id: request.params.id, ...request.body }, actor));
    },
  );

  app.get(
    "/api/held-back",
    {
      ...adminOnly,
      schema: {
        response: answers(200, s.heldBack, "Containers that should run, that Docker could not start."),
      },
    },
    async () => ({ containers: ledger.heldBackNow() }),
  );

  /** Refused, or as it is now. */
  const outOfUse = (uuid: string, refusal: Refusal | undefined) => {
    if (refusal) throw new Refused(refusal);
    const found = ledger.inventory().gpus.find((gpu) => gpu.uuid === uuid);
    return { uuid, ...(found?.quarantined !== undefined && { quarantined: found.quarantined }) };
  };
  app.post(
    "/api/gpus/:uuid/quarantine",
    {
      ...adminOnly,
      schema: {
        params: s.gpuParams,
        body: s.quarantineBody,
        response: answers(
          200,
          s.quarantined,
          "Out of use: nothing new is granted on it; its holders are told.",
        ),
      },
    },
    async ({ params, body }) => outOfUse(params.uuid, context.quarantine(params.uuid, body.reason)),
  );

  app.delete(
    "/api/gpus/:uuid/quarantine",
    { ...adminOnly, schema: { params: s.gpuParams, response: answers(200, s.quarantined, "In use again.") } },
    async ({ params }) => outOfUse(params.uuid, context.restore(params.uuid)),
  );

  app.get(
    "/api/tokens",
    { ...adminOnly, schema: { response: answers(200, s.tokens, "All tokens, without their secrets.") } },
    async () => ({ tokens: tokens.list().map(shownToken) }),
  );

  app.post(
    "/api/tokens",
    {
      ...adminOnly,
      schema: { body: s.tokenBody, response: answers(201, s.tokenMade, "The token, shown this once.") },
    },
    async (request, reply) => {
      const { role, owner, name, expires_in_seconds: expiresInSeconds } = request.body;
      const made = granted(
        await tokens.create({ role, owner, name, expiresInSeconds }, identityOf(request).actor),
      );
      void reply.code(201).header("cache-control", "no-store");
      return { ...shownToken(made.record), token: made.token };
    },
  );

  app.delete(
    "/api/tokens/:id",
    { ...adminOnly, schema: { params: s.idParams, response: answers(200, s.token, "Revoked.") } },
    async (request) => shownToken(granted(await tokens.revoke(request.params.id, identityOf(request).actor))),
  );

  app.get(
    "/api/declared",
    {
      ...adminOnly,
      schema: {
        response: answers(200, s.declaredGrants, "What the stack's grants hold, and all else that is held."),
      },
    },
    async () => {
      // A stage of the same `up` may have divided them a moment ago; the grants that follow wait for that as well.
      await ledger.settled();
      const closed = ledger.closed();
      return {
        assignment: ledger.assignment(),
        inventory: ledger.inventory(),
        grants: [...ledger.live()],
        ...(closed !== undefined && { closed }),
      };
    },
  );

  app.post(
    "/api/declared/plan",
    {
      ...adminOnly,
      bodyLimit: declaredBodyLimit,
      schema: {
        body: s.planBody,
        response: answers(200, s.declaredPlan, "What would be granted; nothing is changed."),
      },
    },
    async (request) => ledger.planDeclared(request.body.declared as DeclaredGrant[]),
  );

  app.post(
    "/api/declared",
    {
      ...adminOnly,
      bodyLimit: declaredBodyLimit,
      schema: {
        body: s.declaredBody,
        response: answers(200, s.declaredPlan, "Granted: exactly what was expected, where that was given."),
      },
    },
    async (request) => {
      const { declared, expect } = request.body;
      return granted(
        await ledger.applyDeclared(
          declared as DeclaredGrant[],
          expect as Assignment | undefined,
          identityOf(request).actor,
        ),
      );
    },
  );

  if (!creator) return;
  app.post(
    "/api/containers",
    {
      ...programOnly,
      schema: { body: creator.schema, response: answers(201, s.created, "It runs, with its grant.") },
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
    { ...programOnly, schema: { params: s.idParams, response: answers(200, s.removed, "It is gone.") } },
    async (request) =>
      granted(await creator.port.remove(request.params.id, { actor: identityOf(request).actor })),
  );
}
