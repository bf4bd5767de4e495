/** The life of calls: which run now, how each is aborted, and what may be said about them. */

import { SshError } from "./ssh-types";
import type { Bag, Context, Path, Property, Props, ProviderSpec, Schema, Severity, Value } from "./types";
import { getPath, isUnknown, redact } from "./values";

/** An error whose message is meant for the user: shown without a stack. */
export class ProviderError extends Error {
  /** Set: the thing exists now, half made; it is saved in state so that the next `up` mends it. */
  readonly partial?: { readonly id: string; readonly outs: Props };
  constructor(message: string, partial?: { id: string; outs: Props }) {
    super(message);
    this.name = "ProviderError";
    if (partial !== undefined) this.partial = partial;
  }
}

/** For a resource type or a function that the plugin does not have: names it, what there is, and the way out. */
export function notServed(spec: ProviderSpec, token: string): ProviderError {
  const known = [...Object.keys(spec.resources), ...Object.keys(spec.functions ?? {})].sort().join(", ");
  return new ProviderError(
    `${token} is not part of Berth's ${spec.name} plugin ${spec.version}, which has ${known}; ` +
      "install the official plugin for it, see docs/plugins.md",
  );
}

/** Shorter secrets would mask ordinary words. */
const LEAST_SECRET = 4;

/**
 * Strings of a bag that may not be shown: every string inside a secret path, but for what the schema calls
 * `public` (the host inside a secret connection). A secret text's lines are masked one by one too, for
 * programs print them so.
 */
export function hiddenStrings(schema: Schema | undefined, bags: readonly Bag[]): string[] {
  const found = new Set<string>();
  const visit = (value: Value | undefined, path: Path): void => {
    if (typeof value === "string") {
      if (isUnknown(value) || isPublic(schema, path)) return;
      if (value.length >= LEAST_SECRET) found.add(value);
      const lines = value.split("\n").map((line) => line.trim());
      if (lines.length > 1) for (const line of lines) if (line.length >= 2 * LEAST_SECRET) found.add(line);
    } else if (typeof value === "object" && value !== null) {
      for (const [key, item] of Object.entries(value)) visit(item, [...path, key]);
    }
  };
  for (const bag of bags) {
    for (const path of [...bag.secrets, ...schemaSecrets(schema ?? {}, bag.values)]) {
      visit(getPath(bag.values, path), path);
    }
  }
  return [...found].sort((a, b) => b.length - a.length);
}

function isPublic(schema: Schema | undefined, path: Path): boolean {
  let properties = schema;
  let items: Property | undefined;
  for (const part of path) {
    // The entry of a list is what the list's schema says of each.
    const property =
      items ?? (properties !== undefined && Object.hasOwn(properties, part) ? properties[part] : undefined);
    if (property?.public === true) return true;
    items = property?.items;
    properties = property?.properties;
  }
  return false;
}

/** Paths that the schema calls secret and that the bag has. */
export function schemaSecrets(schema: Schema, values: Props, at: Path = []): Path[] {
  const found: Path[] = [];
  for (const [key, property] of Object.entries(schema)) {
    const value = Object.hasOwn(values, key) ? values[key] : undefined;
    if (value === undefined || value === null) continue;
    const path = [...at, key];
    if (property.secret === true) found.push(path);
    if (property.properties !== undefined && typeof value === "object" && !Array.isArray(value)) {
      found.push(...schemaSecrets(property.properties, value, path));
    }
  }
  return found;
}

export type LogSink = (severity: Severity, urn: string, message: string, ephemeral: boolean) => void;

/** All calls of one plugin process. */
export class Calls {
  private readonly running = new Set<AbortController>();
  private cancelled = false;

  constructor(private readonly sink: LogSink) {}

  /** Number of calls under way. */
  get size(): number {
    return this.running.size;
  }

  /** Ends what runs, and whatever comes later. */
  cancel(): void {
    this.cancelled = true;
    for (const control of this.running) control.abort(new ProviderError("cancelled"));
  }

  /**
   * Runs one call with its own context.
   *
   * @param timeout seconds; 0 or undefined: none.
   * @throws ProviderError whose message holds none of the call's secrets.
   */
  async run<T>(
    call: {
      urn: string;
      type: string;
      preview: boolean;
      timeout?: number;
      schema?: Schema;
      bags: readonly Bag[];
    },
    work: (ctx: Context) => Promise<T> | T,
  ): Promise<T> {
    const control = new AbortController();
    if (this.cancelled) control.abort(new ProviderError("cancelled"));
    const timeoutMs = call.timeout === undefined || call.timeout <= 0 ? undefined : call.timeout * 1000;
    let late = false;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => {
              late = true;
              control.abort(new ProviderError(`took longer than its custom timeout of ${call.timeout} s`));
            },
            Math.min(timeoutMs, 2 ** 31 - 1),
          );
    this.running.add(control);
    let hidden: string[] | undefined;
    const mask = (text: string): string => {
      hidden ??= hiddenStrings(call.schema, call.bags);
      return redact(text, hidden);
    };
    const ctx: Context = {
      urn: call.urn,
      name: call.urn.slice(call.urn.lastIndexOf("::") + 2),
      type: call.type,
      preview: call.preview,
      signal: control.signal,
      timeoutMs,
      log: (severity, message, options) =>
        this.sink(severity, call.urn, mask(message), options?.ephemeral ?? false),
    };
    try {
      return await work(ctx);
    } catch (error) {
      throw this.shown(error, mask, late ? call.timeout : undefined);
    } finally {
      clearTimeout(timer);
      this.running.delete(control);
    }
  }

  private shown(error: unknown, mask: (text: string) => string, timeout: number | undefined): ProviderError {
    const text = error instanceof Error ? error.message : String(error);
    const known = error instanceof ProviderError || error instanceof SshError;
    // A programming fault: where it happened helps whoever mends it, and holds no values.
    const where =
      known || !(error instanceof Error) ? "" : ` ${/\n\s+(at .*)/.exec(error.stack ?? "")?.[1] ?? ""}`;
    const late = timeout === undefined ? "" : ` (its custom timeout of ${timeout} s has passed)`;
    const message = mask(`${text}${where}${late}`);
    return new ProviderError(message, error instanceof ProviderError ? error.partial : undefined);
  }
}
