import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { hasNoNul, NO_NUL } from "../../../../core/text";
import { begun, counter, inParams, ownerOf } from "../commands";
import { answers, identityOf, tenantsAnd } from "../route";
import type { RouteContext } from "../types";

/** Bytes of one argument of a program, its NUL included: the kernel takes no longer one. */
const MOST_BYTES = 131_072;
const HOUR_MS = 3_600_000;
/** Of an account. */
const MOST_A_MINUTE = 600;

const execBody = z.strictObject({
  command: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) < MOST_BYTES, `at most ${MOST_BYTES - 1} bytes`)
    .refine(hasNoNul, NO_NUL)
    .describe("A line for the container's /bin/sh."),
  timeout: z
    .int()
    .min(1)
    .max(HOUR_MS)
    .default(60_000)
    .describe("Milliseconds, after which it is killed with all that it began."),
});

const executed = z.object({
  exitCode: z
    .int()
    .nullable()
    .describe("Of a command that was killed 128 and the signal's number; null: not known."),
  stdout: z.string().describe("Its beginning, where it is truncated."),
  stderr: z.string().describe("Its beginning, where it is truncated."),
  timedOut: z.boolean().describe("It was killed after its time."),
  truncated: z.boolean().describe("It wrote more than is here; 512 KiB of each output are kept."),
});

const stats = z.object({
  at: z.number(),
  cpuNanos: z.number().describe("Of all CPUs, since its start; two looks give a rate."),
  memoryBytes: z
    .number()
    .describe("Without files that the kernel keeps in memory and would give back at once."),
  memoryLimitBytes: z.number(),
  pids: z.number().describe("Processes and threads."),
  receivedBytes: z.number().describe("Since its start, as are those that follow."),
  sentBytes: z.number(),
  readBytes: z.number(),
  writtenBytes: z.number(),
});

/** Commands in containers, and what a container uses: for tenants, and for users in containers that they had made. */
export function addExec(fastify: FastifyInstance, { forTenants, streams }: RouteContext): void {
  if (!forTenants) return;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { commands } = forTenants;
  const owners = tenantsAnd(forTenants, "user");
  const count = counter(MOST_A_MINUTE, "commands");

  app.post(
    "/api/containers/:id/exec",
    {
      ...owners,
      schema: {
        params: inParams,
        body: execBody,
        response: answers(
          200,
          executed,
          "It has ended. It is killed when its caller goes before that, or its token ends.",
        ),
      },
    },
    async (request, reply) => {
      const identity = identityOf(request);
      count(identity);
      const { command, timeout: timeoutMs } = request.body;
      const result = await streams.requests.run(request, reply, (signal) =>
        commands.exec(ownerOf(identity), request.params.id, { command, timeoutMs, signal }),
      );
      const ended = begun(result);
      return { ...ended, exitCode: ended.exitCode ?? null };
    },
  );

  app.get(
    "/api/containers/:id/stats",
    {
      ...owners,
      schema: { params: inParams, response: answers(200, stats, "What the container uses now.") },
    },
    async (request) => begun(await commands.stats(ownerOf(identityOf(request)), request.params.id)),
  );
}
