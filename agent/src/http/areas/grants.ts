import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Ask } from "../../../../core/gpu";
import type { QueueEntry } from "../../service";
import { notAllowed, Refused } from "../failures";
import { forAll, type Identity, sees } from "../identity";
import { actsFor, answers, granted, identityOf, programOnly } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

export const grants = z.object({ grants: z.array(s.grant) });

const grantQuery = z.strictObject({ user: s.text(64).optional(), state: s.grantState.optional() });

const grantBody = z.strictObject({
  /** Default: the caller. */
  user: s.text(64).optional(),
  ask: s.ask,
  purpose: s.text(256).default("not said"),
  wait_seconds: z.int().min(0).max(86_400).default(0),
  idempotency_key: s.text(128).optional(),
  /** Containers that the user has now, with and without GPUs; left out: as many as hold a grant. */
  containers: z.int().min(0).max(100_000).optional(),
});

const releaseQuery = z.strictObject({
  reason: s.text(256).optional(),
  /** Also while a container has it: for whoever has stopped that container. Admin and service alone. */
  force: z.enum(["true", "false"]).optional(),
});

const bindBody = z.strictObject({
  token: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  container: s.text(128),
});

const queueEntry = z.object({
  id: z.string(),
  /** Left out for somebody else's wish, as is `purpose`. */
  user: z.string().optional(),
  mine: z.boolean(),
  group: z.string(),
  ask: s.shownAsk,
  purpose: z.string().optional(),
  position: z.int(),
  since: s.time,
  deadline: s.time,
  reason: s.refusal,
  idempotency_key: z
    .string()
    .nullable()
    .describe("The request's own; null: there is none, or another caller sent it."),
});

export const queue = z.object({ queue: z.array(queueEntry) });

const cancelled = z.object({ id: z.string() });

/** What many users ask for at a time has to fit into berthd's memory. */
const longestUserPage = 200;

const wholeNumber = z.string().regex(/^\d{1,16}$/);

const historyQuery = z.strictObject({
  user: s.text(64).optional(),
  limit: z
    .string()
    .regex(/^([1-9]\d{0,2}|1000)$/)
    .optional()
    .describe(
      `Default 100, at most 1000; a user gets at most ${longestUserPage} a page, and the next with before.`,
    ),
  before: wholeNumber.optional().describe("Only grants with a smaller token: for the next page."),
});

/**
 * The queue; of somebody else's request a user sees what is asked for, for that is what the user waits behind. A key
 * is shown only to the caller who sent it.
 */
function queueView(entries: readonly QueueEntry[], identity: Identity) {
  return {
    queue: entries.map(({ user, purpose, reason, actor, idempotencyKey, ...rest }) => {
      const mine = identity.user === user;
      const common = { ...rest, mine, idempotency_key: (actor === identity.actor && idempotencyKey) || null };
      if (sees(identity, user)) return { ...common, user, purpose, reason };
      return { ...common, reason: { code: reason.code, message: "It waits." } };
    }),
  };
}

/** Grants, those that wait for one, and those that are over. */
export function addGrants(fastify: FastifyInstance, { ledger, streams }: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/api/grants",
    { schema: { querystring: grantQuery, response: answers(200, grants, "Live grants.") } },
    async (request) => {
      const identity = identityOf(request);
      const { user, state } = request.query;
      const whose = forAll(identity) ? user : actsFor(identity, user);
      return { grants: ledger.grants({ user: whose, state }) };
    },
  );

  app.post(
    "/api/grants",
    {
      schema: {
        body: grantBody,
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
      if (!forAll(identity) && body.containers !== undefined) throw notAllowed("containers", wanted.user);
      const reserve = async (signal?: AbortSignal) => {
        const grant = granted(await ledger.reserve(wanted, signal));
        const gone = signal?.aborted || reply.raw.destroyed;
        // Its caller went while it was written down; one with a key may come back for it.
        if (gone && wanted.idempotencyKey === undefined && grant.state === "reserved") {
          await ledger.release(grant.id, "the caller went away", false, identity.actor);
        }
        return grant;
      };
      const grant = await (wanted.waitSeconds > 0
        ? streams.requests.run(request, reply, reserve)
        : reserve());
      void reply.code(201);
      return grant;
    },
  );

  /** One's own, or any for operators and programs; what is somebody else's is not there. */
  const seen = (identity: Identity, id: string) => {
    const grant = ledger.grant(id);
    if (grant && sees(identity, grant.user)) return grant;
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
        querystring: releaseQuery,
        response: answers(200, s.grant, "Released; also when it was before."),
      },
    },
    async (request) => {
      const identity = identityOf(request);
      const grant = seen(identity, request.params.id);
      const { reason, force } = request.query;
      if (force === "true" && !forAll(identity)) throw notAllowed("force", identity.user ?? identity.actor);
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

  app.post(
    "/api/grants/:id/bind",
    {
      ...programOnly,
      schema: {
        params: s.idParams,
        body: bindBody,
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
    "/api/queue",
    { schema: { response: answers(200, queue, "Who waits, in the order of the queue.") } },
    async (request) => queueView(ledger.queue(), identityOf(request)),
  );

  app.delete(
    "/api/queue/:id",
    { schema: { params: s.idParams, response: answers(200, cancelled, "Withdrawn.") } },
    async (request) => {
      const identity = identityOf(request);
      const { id } = request.params;
      const waiting = ledger.waiting(id);
      if (waiting && !sees(identity, waiting.user)) {
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
    { schema: { querystring: historyQuery, response: answers(200, grants, "Grants, newest first.") } },
    async (request) => {
      const identity = identityOf(request);
      const { user, limit, before } = request.query;
      const whose = forAll(identity) ? user : actsFor(identity, user);
      return {
        grants: ledger.history({
          user: whose,
          ...(limit !== undefined && {
            limit: forAll(identity) ? Number(limit) : Math.min(Number(limit), longestUserPage),
          }),
          ...(before !== undefined && { before: Math.min(Number(before), Number.MAX_SAFE_INTEGER) }),
        }),
      };
    },
  );
}
