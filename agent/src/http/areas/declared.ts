import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { type Assignment, type DeclaredGrant, MOST_UNITS } from "../../../../core/gpu";
import { adminOnly, answers, granted, identityOf } from "../route";
import * as s from "../schemas";
import type { RouteContext } from "../types";

/** Bytes: a node's declared grants, and the units of each. */
const declaredBodyLimit = 4 * 1024 * 1024;

const declared = z.array(z.strictObject({ key: s.text(200), user: s.text(64), ask: s.ask })).max(10_000);

const expectedUnit = z.strictObject(s.unit.shape);

const assignment = z.record(z.string(), z.array(s.unit));

const planBody = z.strictObject({ declared });

const declaredBody = z.strictObject({
  declared,
  expect: z.record(s.text(200), z.array(expectedUnit).max(MOST_UNITS)).optional(),
});

const declaredPlan = z.object({
  assignment,
  kept: z.array(z.string()),
  added: z.array(z.string()),
  moved: z.array(z.object({ key: z.string(), from: z.array(s.unit), to: z.array(s.unit) })),
  freed: z.array(z.string()),
  refusals: z.array(z.object({ key: z.string(), refusal: s.refusal })),
  waits: z.array(z.object({ key: z.string(), units: z.array(s.unit), heldBy: z.string() })),
  overLimit: z.array(z.string()),
});

const declaredGrants = z.object({
  assignment,
  inventory: s.inventory,
  grants: z.array(s.grant),
  closed: z.string().optional(),
});

/** The grants of the stack, for operators. */
export function addDeclared(fastify: FastifyInstance, { ledger }: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/api/declared",
    {
      ...adminOnly,
      schema: {
        response: answers(200, declaredGrants, "What the stack's grants hold, and all else that is held."),
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
        body: planBody,
        response: answers(200, declaredPlan, "What would be granted; nothing is changed."),
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
        body: declaredBody,
        response: answers(200, declaredPlan, "Granted: exactly what was expected, where that was given."),
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
}
