/** From a description of one kind of DigitalOcean resource to what the plugin's server calls. */
import {
  type CheckFailure,
  type Context,
  type DiffRequest,
  type PropertyChange,
  type Props,
  ProviderError,
  type ResourceType,
} from "@berth/plugin-base";
import {
  checkResource,
  type DeleteFirst,
  diffResource,
  type Fields,
  inputSchema,
  plainProps,
  previewState,
  readResult,
  sameValue,
  secretTops,
} from "@berth/plugin-base/bridged";
import { type Api, ApiError, type Deadline } from "../api";
import { type Journal, markOf } from "./journal";

/** What a kind's calls get. */
export interface Work {
  readonly api: Api;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly urn: string;
  warn(message: string): void;
  /** A create stands under this mark; it goes when the engine knows what came of it. */
  begun(mark: string): void;
  /** The marks stay, for somebody has to look. */
  forget(): void;
  /** The resource's custom time-out, or the official one. */
  deadline(officialMs: number): Deadline;
}

export interface Found<T> {
  readonly id: string;
  readonly found: T;
}

/** One kind of resource; `T` is what the API answers about it. */
export interface Kind<T> {
  readonly fields: Fields;
  /** The bridge's note in state, on resources with a schema version or time-outs of their own. */
  readonly meta?: string;
  /** The plugin makes up `name` where the program gives none. Default true. */
  readonly named?: boolean;
  /** Default: `given` where the plugin makes up names, else `never`. */
  readonly deleteFirst?: DeleteFirst;
  /** Turns a made-up name into one that the API takes. */
  readonly physicalName?: (name: string) => string;
  /** Rules over several properties. Unknown values are in it as such. */
  readonly check?: (inputs: Props) => CheckFailure[];
  /** Changes a change, or drops it. @throws ProviderError if it cannot be made at all. */
  readonly adjust?: (change: PropertyChange, olds: Props, news: Props) => PropertyChange | undefined;
  /** The program's inputs as the state keeps them. */
  readonly stored?: (inputs: Props) => Props;
  /** Outputs of an update that a preview cannot know, beside those that the table calls so. */
  readonly previewed?: (outs: Props, olds: Props) => Props;
  /** Outputs without `id`; `known`: inputs as stored, or the outputs in state. */
  readonly state: (found: T, known: Props) => Props;
  readonly create: (inputs: Props, work: Work) => Promise<Found<T>>;
  /** Undefined: gone. `known` is empty for an import, whose id may be of the kind's own form. */
  readonly read: (id: string, known: Props, work: Work) => Promise<Found<T> | undefined>;
  /** Absent: every change replaces. */
  readonly update?: (id: string, olds: Props, news: Props, work: Work) => Promise<T>;
  readonly delete: (id: string, olds: Props, work: Work) => Promise<void>;
}

/** What one configured plugin works with. */
export interface Session {
  readonly api: Api;
  readonly journal: Journal;
}

export function defineResource<T>(session: () => Session, kind: Kind<T>): ResourceType {
  const { fields } = kind;
  const named = kind.named ?? true;
  const stored = (inputs: Props): Props => kind.stored?.(plainProps(inputs)) ?? plainProps(inputs);
  const outsOf = ({ id, found }: Found<T>, known: Props, meta: unknown): Props => {
    const outs: Props = { id, ...tidy(fields, kind.state(found, known), known) };
    const note = typeof meta === "string" ? meta : kind.meta;
    return note === undefined ? outs : { __meta: note, ...outs };
  };
  const workOf = (ctx: Context, marks = new Set<string>()): Work => ({
    ...session(),
    signal: ctx.signal,
    urn: ctx.urn,
    warn: (message) => ctx.log("warning", message),
    begun: (mark) => void marks.add(mark),
    forget: () => marks.clear(),
    deadline: (officialMs) => ({ signal: ctx.signal, ms: ctx.timeoutMs ?? officialMs }),
  });

  return {
    inputs: inputSchema(fields),
    check(req, ctx) {
      if (Object.keys(req.olds.values).length > 0) session().journal.inState(ctx.urn);
      const { inputs, failures } = checkResource(fields, req, ctx, named && "name" in fields);
      const madeUp = (req.news.values.name ?? null) === null && typeof inputs.name === "string";
      const name = madeUp && kind.physicalName !== undefined ? kind.physicalName(String(inputs.name)) : null;
      return {
        inputs: name === null ? inputs : { ...inputs, name },
        failures: [...failures, ...(kind.check?.(plainProps(inputs)) ?? [])],
      };
    },
    diff(req: DiffRequest, ctx: Context) {
      session().journal.inState(ctx.urn, req.id);
      const olds = plainProps(req.olds.values);
      const news = plainProps(req.news.values);
      const first = kind.deleteFirst ?? (named && "name" in fields ? "given" : "never");
      return diffResource(fields, req, first, (change) =>
        kind.adjust === undefined ? change : kind.adjust(change, olds, news),
      );
    },
    async create({ inputs }, ctx) {
      const news = plainProps(inputs.values);
      if (ctx.preview) return { id: "", outs: previewState(fields, stored(news)) };
      const marks = new Set<string>();
      const work = workOf(ctx, marks);
      const settle = (): void => {
        for (const mark of marks) work.journal.settle(mark, work.warn);
      };
      await work.journal.wake();
      const made = await kind.create(news, work).catch((error: unknown) => {
        // A refusal made nothing, and what is half made goes into the state.
        if (error instanceof HalfMade || (error instanceof ApiError && !error.unclear)) settle();
        throw inPart(error, (found) => outsOf(found as Found<T>, stored(news), undefined));
      });
      settle();
      const secrets = secretTops(inputs.secrets);
      return { id: made.id, outs: outsOf(made, stored(news), undefined), secrets };
    },
    async read(req, ctx) {
      const { __meta, ...known } = req.props.values;
      const found = await kind.read(req.id, plainProps(known), workOf(ctx));
      const state = found && { id: found.id, outs: outsOf(found, plainProps(known), __meta) };
      return readResult(fields, req, state);
    },
    async update({ id, olds, news }, ctx) {
      const [before, after] = [plainProps(olds.values), plainProps(news.values)];
      const secrets = secretTops(news.secrets);
      if (ctx.preview) {
        const outs = { id, ...previewState(fields, stored(after), before) };
        return { outs: kind.previewed?.(outs, before) ?? outs, secrets };
      }
      if (kind.update === undefined) {
        throw new ProviderError(`${ctx.type} cannot be changed in place`);
      }
      const work = workOf(ctx);
      await work.journal.wake();
      const found = await kind.update(id, before, after, work);
      return { outs: outsOf({ id, found }, stored(after), olds.values.__meta), secrets };
    },
    async delete({ id, olds }, ctx) {
      const work = workOf(ctx);
      await kind.delete(id, plainProps(olds.values), work);
      const { whose } = markOf(ctx.urn, "");
      for (const tag of (await work.journal.earlier(whose)) ?? []) await work.journal.drop(tag, work.warn);
    },
  };
}

/** Thrown when a thing was made but did not become ready: it is kept in state, and the next `up` goes on with it. */
export class HalfMade extends Error {
  constructor(
    message: string,
    readonly made: Found<unknown>,
  ) {
    super(message);
  }
}

function inPart(error: unknown, outsOf: (found: Found<unknown>) => Props): unknown {
  if (!(error instanceof HalfMade)) return error;
  return new ProviderError(error.message, { id: error.made.id, outs: outsOf(error.made) });
}

/** Lists whose order does not count keep the order that was known; what is absent is left out. */
function tidy(fields: Fields, state: Props, known: Props): Props {
  const out: Props = {};
  for (const [key, value] of Object.entries(state)) {
    if (value === null || value === undefined) continue;
    const [field, before] = [fields[key], known[key] ?? null];
    const same = field?.set === true && Array.isArray(before) && sameValue(field, before, value);
    out[key] = same ? before : value;
  }
  return out;
}

/** True if an update must bring the property to its new value. An absent computed one stays as it is. */
export function changed(fields: Fields, key: string, olds: Props, news: Props): boolean {
  const field = fields[key];
  if (field === undefined) return false;
  const [before, after] = [olds[key] ?? null, news[key] ?? field.default ?? null];
  if (after === null && field.computed === true) return false;
  return !sameValue(field, before, after);
}
