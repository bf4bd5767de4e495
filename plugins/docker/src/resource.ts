/** From a description of one kind of Docker object to what the plugin's server calls. */
import {
  type Context,
  type DiffRequest,
  type DiffResult,
  type Props,
  ProviderError,
  type ResourceType,
  sleep,
} from "@berth/plugin-base";
import {
  checkResource,
  diffResource,
  type Fields,
  inputSchema,
  plainProps,
  previewState,
  readResult,
  secretTops,
} from "@berth/plugin-base/bridged";
import { type CallOptions, type Engine, EngineError } from "./engine/engine";

interface State {
  readonly id: string;
  readonly outs: Props;
}

/** Inputs and states come without the bridge's own keys. */
export interface Kind {
  readonly fields: Fields;
  /** The plugin makes up `name` where the program gives none. Default true. */
  readonly named?: boolean;
  /** Default: every replace of a thing that the program names deletes first. */
  readonly diff?: (req: DiffRequest) => DiffResult;
  readonly create: (engine: Engine, inputs: Props, ctx: Context) => Promise<State>;
  /** Undefined: gone. `known` is empty for an import. */
  readonly read: (engine: Engine, id: string, known: Props, ctx: Context) => Promise<State | undefined>;
  /** Absent: every change replaces. */
  readonly update?: (engine: Engine, id: string, olds: Props, news: Props, ctx: Context) => Promise<Props>;
  readonly delete: (engine: Engine, id: string, olds: Props, ctx: Context) => Promise<void>;
}

/** @param engine asked at each call: the provider is configured only after the table of resources is made. */
export function defineResource(engine: () => Engine, kind: Kind): ResourceType {
  const { fields, update } = kind;
  return {
    inputs: inputSchema(fields),
    check: (req, ctx) => checkResource(fields, req, ctx, kind.named ?? true),
    diff: kind.diff ?? ((req) => diffResource(fields, req, "given")),
    async create({ inputs }, ctx) {
      if (ctx.preview) return { id: "", outs: previewState(fields, inputs.values) };
      const made = await kind.create(engine(), plainProps(inputs.values), ctx);
      return { ...made, secrets: secretTops(inputs.secrets) };
    },
    read: async (req, ctx) =>
      readResult(fields, req, await kind.read(engine(), req.id, plainProps(req.props.values), ctx)),
    ...(update && {
      async update({ id, olds, news }, ctx) {
        const before = plainProps(olds.values);
        const outs = ctx.preview
          ? previewState(fields, news.values, before)
          : await update(engine(), id, before, plainProps(news.values), ctx);
        return { outs, secrets: secretTops(news.secrets) };
      },
    }),
    delete: async ({ id, olds }, ctx) => await kind.delete(engine(), id, plainProps(olds.values), ctx),
  };
}

/** Containers let go of networks and volumes a moment after they are gone; official deadline. */
const REMOVE_MS = 30_000;
const POLL_MS = 250;

/**
 * Removes a thing, waiting for a while as long as it is in use. One that is gone is fine.
 *
 * @param inUse what the engine says of one that is in use.
 * @param advice for the error at the end of the wait.
 */
export async function removeUnused(
  remove: () => Promise<unknown>,
  { inUse, advice }: { inUse: RegExp; advice: string },
  { signal }: CallOptions,
): Promise<void> {
  const end = Date.now() + REMOVE_MS;
  for (;;) {
    try {
      await remove();
      return;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.status === 404) return;
      if (!inUse.test(error.message)) throw error;
      if (Date.now() > end) throw new ProviderError(`${error.message}; ${advice}, then run destroy again`);
    }
    await sleep(POLL_MS, signal);
  }
}
