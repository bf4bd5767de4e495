import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Ask } from "../../../../core/gpu";
import { Refused } from "../failures";
import { forAll } from "../identity";
import { actsFor, answers, identityOf, selfOf } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

const userParams = z.strictObject({ user: s.text(64) });

const limit = <T extends z.ZodType>(value: T) => z.object({ value, rule: z.string() });

const amount = limit(z.number().nullable());

const limits = z.object({
  user: z.string(),
  group: z.string(),
  max_mig_instances: amount,
  max_gpus_per_container: amount,
  allow_full_gpu: limit(z.boolean()),
  max_cpus: amount,
  memory: amount,
  shm_size: amount,
  max_containers_per_user: amount,
  idle_timeout: amount,
  gpu_hold_after_stop: amount,
  container_hold_after_stop: amount,
  max_runtime: amount,
  priority: limit(z.number()),
});

const limitValue = z.union([z.number(), z.boolean(), z.null()]);

export const explainedLimits = limits.extend({
  explain: z.array(
    z.object({
      field: z.string(),
      value: limitValue,
      text: z.string(),
      rule: z.string(),
      overrides: z.array(
        z.object({ rule: z.string(), value: limitValue, text: z.string(), why: z.string() }),
      ),
    }),
  ),
});

export const limitsList = z.object({
  users: z.array(limits),
  /** Set: the document on disk is not the one in force. */
  problem: z.string().optional(),
});

const checkBody = z.strictObject({ user: s.text(64).optional(), ask: s.ask });

export const checked = z.object({
  granted: z.boolean(),
  /** What would be granted now. */
  units: z.array(s.unit).optional(),
  refusal: s.refusal.optional(),
});

/** What holds for whom. */
export function addLimits(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { ledger } = context;

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
    { schema: { response: answers(200, limitsList, "What holds for whom.") } },
    async (request) => {
      const identity = identityOf(request);
      const problem = forAll(identity) ? context.limitsProblem() : undefined;
      const names = forAll(identity) ? context.node().users.map(({ name }) => name) : [selfOf(identity)];
      const users = names.map((name) => ledger.limitsOf(name)).filter((found) => found !== undefined);
      return { users, ...(problem !== undefined && { problem }) };
    },
  );

  app.get(
    "/api/limits/:user",
    {
      schema: {
        params: userParams,
        response: answers(200, explainedLimits, "What holds for this user, and which rule decided."),
      },
    },
    async (request) => {
      const user = actsFor(identityOf(request), request.params.user);
      return { ...limitsOf(user), explain: context.explain(user) };
    },
  );

  app.post(
    "/api/limits/check",
    { schema: { body: checkBody, response: answers(200, checked, "Whether it would be granted now.") } },
    async (request) => {
      const user = actsFor(identityOf(request), request.body.user);
      const result = ledger.check({ user, ask: request.body.ask as Ask });
      return result.ok ? { granted: true, ...result.value } : { granted: false, refusal: result.refusal };
    },
  );
}
