import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Ask } from "../../../core/gpu";
import { notAllowed, Refused } from "./failures";
import type { Identity } from "./identity";
import { addOperatorRoutes } from "./operator-routes";
import * as s from "./schemas";
import { actsFor, answers, goneSignal, granted, identityOf } from "./shared";
import type { RouteContext } from "./types";
import { gpusView, queueView } from "./views";

export function addRoutes(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { ledger } = context;

  app.get(
    "/health",
    { config: { open: true }, schema: { security: [], response: answers(200, s.health, "How berthd is.") } },
    async ({ identity }) => {
      // A stranger learns whether it is well, and no more.
      if (!identity) return { status: ledger.health().status, reasons: [] };
      return ledger.health(identity.role === "user" ? identity.user : undefined);
    },
  );

  app.get(
    "/ready",
    {
      config: { open: true },
      schema: {
        security: [],
        response: {
          ...answers(200, s.ready, "New grants are made."),
          503: s.ready.describe("Nothing new is granted at the moment."),
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

  app.get("/api/whoami", { schema: { response: answers(200, s.whoami, "Who calls.") } }, async (request) =>
    identityOf(request),
  );

  app.get(
    "/api/gpus",
    { schema: { response: answers(200, s.gpus, "The GPUs, and who holds what.") } },
    async (request) =>
      gpusView(ledger.inventory(), ledger.live(), context.figures(), identityOf(request), ledger.closed()),
  );

  app.get(
    "/api/grants",
    { schema: { querystring: s.grantQuery, response: answers(200, s.grants, "Live grants.") } },
    async (request) => {
      const identity = identityOf(request);
      const { user, state } = request.query;
      const whose = identity.role === "user" ? actsFor(identity, user) : user;
      return { grants: ledger.grants({ user: whose, state }) };
    },
  );

  app.post(
    "/api/grants",
    {
      schema: {
        body: s.grantBody,
        response: answers(201, s.grant, "Granted. With an idempotency key used before: that grant."),
      },
    },
    async (request, reply) => {
      const identity = identityOf(request);
      const { body } = request;
      const wanted = {
        user: actsFor(identity, body.user),
        ask: body.ask as Ask,
        purpose: body.purpose,
        containers: body.containers,
        waitSeconds: body.wait_seconds,
        idempotencyKey: body.idempotency_key,
        actor: identity.actor,
      };
      // A container count is the creator's word, not a user's: it would get around the limit.
      if (identity.role === "user" && body.containers !== undefined)
        throw notAllowed("containers", wanted.user);
      const gone = wanted.waitSeconds > 0 ? goneSignal(reply) : undefined;
      const grant = granted(await ledger.reserve(wanted, gone));
      // Its caller went while it was written down; one with a key may come back for it.
      if (reply.raw.destroyed && wanted.idempotencyKey === undefined && grant.state === "reserved") {
        await ledger.release(grant.id, "the caller went away", false, identity.actor);
      }
      void reply.code(201);
      return grant;
    },
  );

  /** One's own, or any for operators and programs; what is somebody else's is not there. */
  const seen = (identity: Identity, id: string) => {
    const grant = ledger.grant(id);
    if (grant && (identity.role !== "user" || grant.user === identity.user)) return grant;
    throw new Refused({
      code: "not-found",
      message: `There is no grant ${id}.`,
      fix: "See: berth gpu status",
    });
  };

  app.get(
    "/api/grants/:id",
    { schema: { params: s.idParams, response: answers(200, s.grant, "The grant, also one that is over.") } },
    async (request) => seen(identityOf(request), request.params.id),
  );

  app.delete(
    "/api/grants/:id",
    {
      schema: {
        params: s.idParams,
        querystring: s.releaseQuery,
        response: answers(200, s.grant, "Released; also when it was before."),
      },
    },
    async (request) => {
      const identity = identityOf(request);
      const grant = seen(identity, request.params.id);
      const { reason, force } = request.query;
      if (force === "true" && identity.role === "user")
        throw notAllowed("force", identity.user ?? identity.actor);
      if (grant.state === "released") return grant;
      return granted(
        await ledger.release(
          grant.id,
          reason ?? `released by ${identity.actor}`,
          force === "true",
          identity.actor,
        ),
      );
    },
  );

  app.get(
    "/api/queue",
    { schema: { response: answers(200, s.queue, "Who waits, in the order of the queue.") } },
    async (request) => queueView(ledger.queue(), identityOf(request)),
  );

  app.delete(
    "/api/queue/:id",
    { schema: { params: s.idParams, response: answers(200, s.cancelled, "Withdrawn.") } },
    async (request) => {
      const identity = identityOf(request);
      const { id } = request.params;
      const waiting = ledger.waiting(id);
      if (waiting && identity.role === "user" && waiting.user !== identity.user) {
        throw new Refused({
          code: "not-found",
          message: `Nothing waits under ${id}.`,
          fix: "See: berth gpu queue",
        });
      }
      return granted(ledger.cancel(id));
    },
  );

  app.get(
    "/api/history",
    { schema: { querystring: s.historyQuery, response: answers(200, s.grants, "Grants, newest first.") } },
    async (request) => {
      const identity = identityOf(request);
      const { user, limit, before } = request.query;
      const whose = identity.role === "user" ? actsFor(identity, user) : user;
      return {
        grants: ledger.history({
          user: whose,
          ...(limit !== undefined && {
            limit: identity.role === "user" ? Math.min(Number(limit), s.longestUserPage) : Number(limit),
          }),
          ...(before !== undefined && { before: Math.min(Number(before), Number.MAX_SAFE_INTEGER) }),
        }),
      };
    },
  );

  const limitsOf = (user: string) => {
    const limits = ledger.limitsOf(user);
    if (limits) return limits;
    throw new Refused({
      code: "not-found",
      message: `${user} is not a user of this node.`,
      allowed: "the users that the stack declares for it",
    });
  };

  app.get(
    "/api/limits",
    { schema: { response: answers(200, s.limitsList, "What holds for whom.") } },
    async (request) => {
      const identity = identityOf(request);
      const problem = identity.role === "user" ? undefined : context.limitsProblem();
      const names =
        identity.role === "user" ? [identity.user as string] : context.node().users.map(({ name }) => name);
      const users = names.map((name) => ledger.limitsOf(name)).filter((found) => found !== undefined);
      return { users, ...(problem !== undefined && { problem }) };
    },
  );

  app.get(
    "/api/limits/:user",
    {
      schema: {
        params: s.userParams,
        response: answers(200, s.explainedLimits, "What holds for this user, and which rule decided."),
      },
    },
    async (request) => {
      const user = actsFor(identityOf(request), request.params.user);
      return { ...limitsOf(user), explain: context.explain(user) };
    },
  );

  app.post(
    "/api/limits/check",
    { schema: { body: s.checkBody, response: answers(200, s.checked, "Whether it would be granted now.") } },
    async (request) => {
      const user = actsFor(identityOf(request), request.body.user);
      const result = ledger.check({ user, ask: request.body.ask as Ask });
      return result.ok ? { granted: true, ...result.value } : { granted: false, refusal: result.refusal };
    },
  );

  addOperatorRoutes(fastify, context);
}
