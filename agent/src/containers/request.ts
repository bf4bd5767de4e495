/** What somebody who wants a container may say, and nothing else. Pure. */
import { z } from "zod";
import { askSchema, plainText, type Refusal } from "../../../core/gpu";
import { parseSize } from "../../../core/limits";
import { environmentSchema } from "../../../core/manager";
import { CONTAINER_NAME, IMAGE, USER_NAME } from "../../../core/names";
import { argumentSchema, hasNoNul, NO_NUL } from "../../../core/text";

const word = z.string().regex(CONTAINER_NAME, "lower-case letters, digits and '-', at most 40");
const size = z
  .string()
  .refine((text) => (parseSize(text) ?? 0) > 0, 'a size such as "8GiB" or "512m"')
  .meta({ description: "A size such as `8GiB`." });

/** The body of `POST /api/containers`, which the route checks before the creator has it. */
export const createSchema = z.strictObject({
  /** Whose it is; the limits are that user's. A person may leave it out. */
  user: z.string().regex(USER_NAME, "a user's name").optional(),
  /** Default: made up. The container's is `berth-<stack>-<user>.<name>`. */
  name: word.optional(),
  /** By id or by digest. Default: that of the user's workspace. */
  image: z
    .string()
    .max(512)
    .regex(IMAGE, "an image by its id (sha256:…) or by digest (name@sha256:…)")
    .optional(),
  command: z.array(argumentSchema).min(1).max(1024).optional(),
  entrypoint: z.array(argumentSchema).min(1).max(64).optional(),
  /** `1000`, `1000:1000` or a name of the image's. */
  run_as: z
    .string()
    .regex(/^[a-z0-9_][a-z0-9_-]{0,31}(:[a-z0-9_][a-z0-9_-]{0,31})?$/, "a user, or user:group")
    .optional(),
  workdir: z.string().max(4096).regex(/^\//, "an absolute path").refine(hasNoNul, NO_NUL).optional(),
  env: environmentSchema.optional(),
  /** GPUs: what is asked for, or a grant of the user's that no container has. Left out: none. */
  gpus: z
    .union([askSchema, z.strictObject({ grant: plainText(128) })], {
      error: 'an ask, such as {"kind": "mig", "count": 1}, or a grant of the user\'s: {"grant": "ID"}',
    })
    .optional(),
  /** Seconds to wait for them where none is free. */
  wait_seconds: z.int().min(0).max(86_400).optional(),
  /** Default: what the user's limits allow; of CPUs at most those of the node. */
  cpus: z.number().min(0.01).max(4096).optional(),
  memory: size.optional(),
  shm: size.optional(),
  pids: z.int().min(1).max(32_768).optional(),
  /** Published on the node, each on one address of those that the node allows, and on a port of `berth:ports.containers`. */
  ports: z
    .array(
      z.strictObject({
        container: z.int().min(1).max(65_535),
        host: z.int().min(1024).max(65_535),
        address: z.union([z.ipv4(), z.ipv6()]).default("127.0.0.1"),
        protocol: z.enum(["tcp", "udp"]).default("tcp"),
      }),
    )
    .max(64)
    .optional(),
  tty: z.boolean().optional(),
  /** Between TERM and KILL when it is stopped. */
  stop_seconds: z.int().min(0).max(600).optional(),
});

export type CreateRequest = z.infer<typeof createSchema> & { user: string };

/** The grant that is to be used; undefined: GPUs are asked for, or none. */
export const grantNamed = ({ gpus }: CreateRequest): string | undefined =>
  gpus !== undefined && "grant" in gpus ? gpus.grant : undefined;

/** All that is wrong with a request, at once. */
export function malformed(problems: readonly string[]): Refusal {
  return {
    code: "bad-request",
    message: problems.join("; "),
    allowed: Object.keys(createSchema.shape).join(", "),
    fix: "mend or leave out what is named",
  };
}
