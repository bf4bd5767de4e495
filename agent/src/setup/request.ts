/** What somebody who wants a container set up may say, and nothing else. */
import { z } from "zod";
import { fingerprintOf } from "../../../core/fingerprint";
import { plainText, type Result, refuse } from "../../../core/gpu";
import {
  environmentSchema,
  parseBranch,
  parseRepository,
  parseToken,
  type Repository,
  type RepositoryHost,
  workdirProblem,
} from "../../../core/manager";
import { argumentSchema } from "../../../core/text";
import type { CallbackTarget } from "../callbacks";

const DEFAULT_WORKDIR = "/app";

/** The body of `POST /api/containers/:id/setup`. What stands in texts is judged by {@link readWish}, all of it at once. */
export const setupSchema = z.strictObject({
  repo: z.string().describe("`owner/repo`, or an https URL of a host that the operator allows."),
  branch: z.string().optional().describe("Default: the main branch of the repository."),
  githubToken: z.string().optional().describe("For this one fetch alone; it is kept nowhere."),
  callbackUrl: z.string().optional().describe("Where each phase is told to."),
  callbackSecret: z.string().optional().describe("Needed with callbackUrl: what messages are signed with."),
  hasMainImage: z
    .boolean()
    .optional()
    .describe("Whether the container was made from the repository's main image; berthd looks for itself."),
  buildMainImage: z
    .boolean()
    .optional()
    .describe("Default: an image is made of the main branch where there is none, or an old one."),
  envVars: environmentSchema.optional().describe("For the installation and the start command."),
  installCommand: argumentSchema
    .optional()
    .describe("Default: by the lock file. Empty: nothing is installed."),
  startCommand: argumentSchema
    .optional()
    .describe(
      "A line for sh, which is kept running. Default: the script dev or start of package.json. Empty: none.",
    ),
  workdir: z.string().default(DEFAULT_WORKDIR),
  idempotency_key: plainText(128)
    .optional()
    .describe("The same key with the same request is the same set-up."),
});

export type SetupRequest = z.infer<typeof setupSchema>;

/** A request that was read: all in it is right. */
export interface Wish {
  repository: Repository;
  branch?: string;
  token?: string;
  callback?: CallbackTarget;
  build?: boolean;
  /** What the caller believes of the container. */
  hasMain: boolean;
  env: Record<string, string>;
  install?: string;
  start?: string;
  workdir: string;
  key?: string;
  /** Of all of it but the token: another token may be sent for the same. */
  fingerprint: string;
}

export interface WishRules {
  hosts: readonly RepositoryHost[];
  /** All that is wrong with where messages are to go; each text begins with the field. */
  targetProblems(target: CallbackTarget): Promise<Result<string[]>>;
}

/** Refusals: bad-request: all that is wrong. Otherwise not-allowed: only the host of the repository is; full: the target cannot be checked now. */
export async function readWish(body: SetupRequest, rules: WishRules): Promise<Result<Wish>> {
  const repository = parseRepository(body.repo, rules);
  const branch = body.branch === undefined ? undefined : parseBranch(body.branch);
  const target = await callbackProblems(body, rules);
  const wrong = [
    ...(repository.ok ? [] : [`repo: ${repository.refusal.message}`]),
    ...(branch === undefined || branch.ok ? [] : [`branch: ${branch.refusal.message}`]),
    ...tokenProblems(body.githubToken),
    ...workdirProblems(body.workdir),
    ...(target.ok ? target.value : []),
  ];
  if (!repository.ok && wrong.length === 1) return repository;
  if (!repository.ok || wrong.length > 0)
    return refuse({
      code: "bad-request",
      message: wrong.join("; "),
      allowed: Object.keys(setupSchema.shape).join(", "),
      fix: "mend or leave out what is named",
    });
  if (!target.ok) return target;
  return { ok: true, value: wishOf(body, repository.value) };
}

function tokenProblems(token: string | undefined): string[] {
  const read = token === undefined ? undefined : parseToken(token);
  return read?.ok === false ? [`githubToken: ${read.refusal.message}: ${read.refusal.allowed}`] : [];
}

function workdirProblems(workdir: string): string[] {
  const problem = workdirProblem(workdir);
  return problem === undefined ? [] : [`workdir: ${problem}`];
}

async function callbackProblems(
  { callbackUrl: url, callbackSecret: secret }: SetupRequest,
  { targetProblems }: WishRules,
): Promise<Result<string[]>> {
  if (url !== undefined && secret !== undefined) return targetProblems({ url, secret });
  const needless = url === undefined && secret !== undefined;
  const missing = url !== undefined;
  return {
    ok: true,
    value: [
      ...(needless ? ["callbackSecret: is of no use without callbackUrl"] : []),
      ...(missing ? ["callbackSecret: is missing: messages are signed with it"] : []),
    ],
  };
}

function wishOf(body: SetupRequest, repository: Repository): Wish {
  const { githubToken: token, ...same } = body;
  const { branch, callbackUrl: url, callbackSecret: secret } = same;
  const { buildMainImage: build, envVars: env = {}, installCommand: install, startCommand: start } = body;
  return {
    ...{ repository, env, workdir: body.workdir, hasMain: body.hasMainImage ?? false },
    fingerprint: fingerprintOf({ ...same, envVars: env }),
    ...(branch !== undefined && { branch }),
    ...(token !== undefined && { token }),
    ...(url !== undefined && secret !== undefined && { callback: { url, secret } }),
    ...(build !== undefined && { build }),
    ...(install !== undefined && { install }),
    ...(start !== undefined && { start }),
    ...(body.idempotency_key !== undefined && { key: body.idempotency_key }),
  };
}
