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
import type { Api, Deadline } from "../api";
import {
  checkResource,
  type DeleteFirst,
  diffResource,
  driftedInputs,
  type Fields,
  importInputsOf,
  inputSchema,
  plainProps,
  previewState,
  sameValue,
  secretTops,
} from "../bridge";

/** What a kind's calls get. */
export interface Work {
  readonly api: Api;
  readonly signal: AbortSignal;
  readonly urn: string;
  warn(message: string): void;
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

export function defineResource<T>(api: () => Api, kind: Kind<T>): ResourceType {
  const { fields } = kind;
  const named = kind.named ?? true;
  const stored = (inputs: Props): Props => kind.stored?.(plainProps(inputs)) ?? plainProps(inputs);
  const outsOf = ({ id, found }: Found<T>, known: Props, meta: unknown): Props => {
    const outs: Props = { id, ...tidy(fields, kind.state(found, known), known) };
    const note = typeof meta === "string" ? meta : kind.meta;
    return note === undefined ? outs : { __meta: note, ...outs };
  };
  const workOf = (ctx: Context): Work => ({
    api: api(),
    signal: ctx.signal,
    urn: ctx.urn,
    warn: (message) => ctx.log("warning", message),
    deadline: (officialMs) => ({ signal: ctx.signal, ms: ctx.timeoutMs ?? officialMs }),
  });

  return {
    inputs: inputSchema(fields),
    check(req, ctx) {
      const { inputs, failures } = checkResource(fields, req, ctx, named && "name" in fields);
      const madeUp = (req.news.values.name ?? null) === null && typeof inputs.name === "string";
      const name = madeUp && kind.physicalName !== undefined ? kind.physicalName(String(inputs.name)) : null;
      return {
        inputs: name === null ? inputs : { ...inputs, name },
        failures: [...failures, ...(kind.check?.(plainProps(inputs)) ?? [])],
      };
    },
    diff(req: DiffRequest) {
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
      const made = await kind.create(news, workOf(ctx)).catch((error: unknown) => {
        throw inPart(error, (found) => outsOf(found as Found<T>, stored(news), undefined));
      });
      const secrets = secretTops(inputs.secrets);
      return { id: made.id, outs: outsOf(made, stored(news), undefined), secrets };
    },
    async read({ id, props, inputs }, ctx) {
      const known = plainProps(props.values);
      const found = await kind.read(id, known, workOf(ctx));
      if (found === undefined) return { id: "", outs: {} };
      const outs = outsOf(found, known, props.values.__meta);
      const imported = Object.keys(known).length === 0;
      return {
        id: found.id,
        outs,
        inputs: imported ? importInputsOf(fields, outs) : driftedInputs(fields, inputs.values, outs),
        secrets: secretTops(props.secrets, inputs.secrets),
      };
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
      const found = await kind.update(id, before, after, workOf(ctx));
      return { outs: outsOf({ id, found }, stored(after), olds.values.__meta), secrets };
    },
    async delete({ id, olds }, ctx) {
      await kind.delete(id, plainProps(olds.values), workOf(ctx));
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
