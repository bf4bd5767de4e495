import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Grant, Inventory, Refusal } from "../../../../core/gpu";
import { Refused } from "../failures";
import { type Identity, sees } from "../identity";
import { adminOnly, answers, identityOf } from "../route";
import * as s from "../schemas";
import type { GpuFigures, RouteContext } from "../types";

const holder = z.object({
  /** Left out for somebody else's grant, as are `user` and `key`. */
  grant: z.string().optional(),
  user: z.string().optional(),
  key: z.string().optional(),
  mine: z.boolean(),
  state: s.grantState,
  /** The instance that is held; the GPU's own UUID for all of it or a share. */
  unit: z.string(),
  memoryMiB: z.number(),
});

export const gpus = z.object({
  source: s.source,
  driver: z.string().optional(),
  /** Why nothing new is granted. */
  closed: z.string().optional(),
  gpus: z.array(
    s.gpu.extend({
      /** Percent; null where the driver does not tell. */
      utilisation: z.number().nullable().optional(),
      memoryUsedMiB: z.number().nullable().optional(),
      holders: z.array(holder),
    }),
  ),
});

const gpuParams = z.strictObject({ uuid: s.uuid });

const quarantineBody = z.strictObject({ reason: s.text(200) });

const quarantined = z.object({ uuid: s.uuid, quarantined: z.string().optional() });

/** The GPUs with their holders; a user sees somebody else's as taken, and not by whom. */
function gpusView(
  { source, driver, gpus }: Inventory,
  live: Iterable<Grant>,
  figures: readonly GpuFigures[],
  identity: Identity,
  closed: string | undefined,
) {
  const byGpu = new Map<string, object[]>();
  for (const grant of live) {
    for (const unit of grant.units) {
      const common = {
        mine: identity.user === grant.user,
        state: grant.state,
        unit: unit.uuid,
        memoryMiB: unit.memoryMiB,
      };
      const holder = sees(identity, grant.user)
        ? { grant: grant.id, user: grant.user, ...(grant.key !== undefined && { key: grant.key }), ...common }
        : common;
      const there = byGpu.get(unit.gpu);
      if (there) there.push(holder);
      else byGpu.set(unit.gpu, [holder]);
    }
  }
  const measured = new Map(figures.map((one) => [one.uuid, one]));
  return {
    source,
    ...(driver !== undefined && { driver }),
    ...(closed !== undefined && { closed }),
    gpus: gpus.map((gpu) => {
      const now = measured.get(gpu.uuid);
      return {
        ...gpu,
        ...(now && { utilisation: now.utilisation, memoryUsedMiB: now.memoryUsedMiB }),
        holders: byGpu.get(gpu.uuid) ?? [],
      };
    }),
  };
}

/** The GPUs with their holders; operators put one out of use, or back. */
export function addGpus(fastify: FastifyInstance, context: RouteContext): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { ledger } = context;

  app.get(
    "/api/gpus",
    { schema: { response: answers(200, gpus, "The GPUs, and who holds what.") } },
    async (request) =>
      gpusView(ledger.inventory(), ledger.live(), context.figures(), identityOf(request), ledger.closed()),
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
        params: gpuParams,
        body: quarantineBody,
        response: answers(
          200,
          quarantined,
          "Out of use: nothing new is granted on it; its holders are told.",
        ),
      },
    },
    async ({ params, body }) => outOfUse(params.uuid, context.quarantine(params.uuid, body.reason)),
  );

  app.delete(
    "/api/gpus/:uuid/quarantine",
    { ...adminOnly, schema: { params: gpuParams, response: answers(200, quarantined, "In use again.") } },
    async ({ params }) => outOfUse(params.uuid, context.restore(params.uuid)),
  );
}
