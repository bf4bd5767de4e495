/** `command:remote:Command`: a command on a host, over the pool's one connection to it. */
import { randomBytes } from "node:crypto";
import {
  addressOf,
  type Bag,
  type Context,
  defaultPool,
  type Props,
  type ResourceType,
  type Schema,
  type SshPool,
  UNKNOWN,
} from "@berth/plugin-base";
import { checkConnection, connectionOf, connectionProperty } from "./connection";
import { commandFor, lineLogger, outputsOf, requireSuccess, type Step, streamsOf } from "./outcome";

const LOGGING = ["stdout", "stderr", "stdoutAndStderr", "none"];

/** Inputs that the remote and the local command have in common. */
export const commandInputs: Schema = {
  create: { type: "string" },
  update: { type: "string" },
  delete: { type: "string" },
  stdin: { type: "string" },
  logging: { type: "string", enum: LOGGING },
  triggers: { type: "array", items: { type: "any" }, replace: true },
};

/** A server takes no variables but those that its AcceptEnv names; Berth's program passes what it has to say on stdin. */
const noEnvironment: Schema = {
  environment: {
    type: "map",
    unsupported: "Berth's own command plugin sends no variables to a host; use stdin, or the official plugin",
  },
  addPreviousOutputInEnv: { type: "boolean", required: true, enum: [false] },
};

/** Runs a step and gives `stdout` and `stderr`. */
export type Runner = (
  step: Step,
  command: string,
  bag: Bag,
  ctx: Context,
) => Promise<{ stdout: string; stderr: string }>;

/**
 * The life of a command resource, which is the same here and on a host: `create` runs once, any change of
 * an input runs `update` (or `create`), `delete` runs when it goes, with the inputs in state.
 */
export function commandType(inputs: Schema, run: Runner, check?: ResourceType["check"]): ResourceType {
  return {
    inputs,
    ...(check === undefined ? {} : { check }),
    async create({ inputs: bag }, ctx) {
      const command = commandFor("create", bag.values);
      if (ctx.preview) {
        const outs = { ...bag.values, stdout: UNKNOWN, stderr: UNKNOWN };
        return { id: "", outs };
      }
      const printed =
        command === undefined ? { stdout: "", stderr: "" } : await run("create", command, bag, ctx);
      return { id: `${ctx.name}${randomBytes(4).toString("hex")}`, outs: { ...bag.values, ...printed } };
    },
    async update({ olds, news }, ctx) {
      const before: Props = { stdout: olds.values.stdout ?? "", stderr: olds.values.stderr ?? "" };
      const command = commandFor("update", news.values);
      if (command === undefined) return { outs: { ...news.values, ...before } };
      if (ctx.preview) return { outs: { ...news.values, stdout: UNKNOWN, stderr: UNKNOWN } };
      const bag = { values: { ...news.values, ...before }, secrets: [...news.secrets, ...olds.secrets] };
      return { outs: { ...news.values, ...(await run("update", command, bag, ctx)) } };
    },
    async delete({ olds }, ctx) {
      const command = commandFor("delete", olds.values);
      if (command !== undefined) await run("delete", command, olds, ctx);
    },
  };
}

export function remoteCommand(pool: SshPool = defaultPool): ResourceType {
  const run: Runner = async (step, command, bag, ctx) => {
    const to = connectionOf(bag.values.connection);
    const shown = streamsOf(bag);
    const out = lineLogger(ctx);
    const err = lineLogger(ctx);
    const outcome = await pool.exec(to, command, {
      signal: ctx.signal,
      stdin: typeof bag.values.stdin === "string" ? bag.values.stdin : undefined,
      onRetry: (message) => ctx.log("info", message, { ephemeral: true }),
      onStdout: shown.stdout ? out.chunk : undefined,
      onStderr: shown.stderr ? err.chunk : undefined,
    });
    out.end();
    err.end();
    requireSuccess(outcome, step, addressOf(to), bag.values);
    return outputsOf(outcome);
  };
  const inputs: Schema = { ...commandInputs, ...noEnvironment, connection: connectionProperty };
  return commandType(inputs, run, async ({ news }) => ({ failures: await checkConnection(news.values) }));
}
