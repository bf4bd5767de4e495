/** What a handler gets and gives, and how lists are cut into pages. */
import { ApiError, unprocessable } from "../errors";
import type { World } from "../world";

export interface Call {
  readonly world: World;
  /** By the names in the description's path template, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Body;
  /** Refuses with 403 unless the token has the scope; for parts of a request that need more than the route does. */
  need(scope: string): void;
}

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** The description's own template. */
  readonly path: string;
  readonly scopes: readonly string[];
  /** Status of success. */
  readonly status: number;
  /** Gives the body, or undefined for none. */
  handle(call: Call): unknown;
}

export function route(
  method: Route["method"],
  path: string,
  status: number,
  scopes: string | readonly string[],
  handle: (call: Call) => unknown,
): Route {
  return { method, path, status, scopes: typeof scopes === "string" ? [scopes] : scopes, handle };
}

/** Reads a request's body; names have been checked against the description before, values are here. */
export class Body {
  constructor(private readonly values: Readonly<Record<string, unknown>>) {}

  has(key: string): boolean {
    return this.values[key] !== undefined && this.values[key] !== null;
  }

  /** Clients that write out every field send "" for a reference that is not meant: it names nothing. */
  refers(key: string): boolean {
    return this.has(key) && this.values[key] !== "";
  }

  raw(key: string): unknown {
    return this.values[key];
  }

  private typed<T>(key: string, fits: (value: unknown) => boolean, what: string): T | undefined {
    const value = this.values[key];
    if (value === undefined || value === null) return undefined;
    if (!fits(value)) throw unprocessable(`${key} must be ${what}`);
    return value as T;
  }

  text(key: string): string | undefined {
    return this.typed(key, (value) => typeof value === "string", "a string");
  }
  number(key: string): number | undefined {
    return this.typed(key, Number.isInteger, "an integer");
  }
  flag(key: string): boolean | undefined {
    return this.typed(key, (value) => typeof value === "boolean", "a boolean");
  }
  texts(key: string): string[] {
    const fits = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string");
    return this.typed<string[]>(key, fits, "a list of strings") ?? [];
  }
  numbers(key: string): number[] {
    return (
      this.typed<number[]>(
        key,
        (value) => Array.isArray(value) && value.every(Number.isInteger),
        "a list of integers",
      ) ?? []
    );
  }
  list<T>(key: string): T[] {
    return this.typed<T[]>(key, Array.isArray, "a list") ?? [];
  }

  /** A string that must be there. */
  required(key: string): string {
    const value = this.text(key);
    if (value === undefined || value === "") throw unprocessable(`${key} is required`);
    return value;
  }
  requiredNumber(key: string): number {
    const value = this.number(key);
    if (value === undefined) throw unprocessable(`${key} is required`);
    return value;
  }
}

function positive(query: URLSearchParams, key: string, otherwise: number): number {
  const text = query.get(key);
  if (text === null || text === "") return otherwise;
  if (!/^[1-9]\d*$/.test(text)) throw new ApiError(400, `${key} must be a positive integer`);
  return Number(text);
}

/**
 * One page of a collection: 20 items, or `per_page` of them, 200 at most. `links.pages` has the links that make sense:
 * no `first` and `prev` on the first page, no `next` and `last` on the last; `meta.total` counts all items.
 */
export function page<T>(call: Call, key: string, items: readonly T[], view: (item: T) => unknown): object {
  const per = Math.min(positive(call.query, "per_page", 20), 200);
  const number = positive(call.query, "page", 1);
  const last = Math.max(1, Math.ceil(items.length / per));
  const link = (to: number) => {
    const query = new URLSearchParams(call.query);
    query.set("page", String(to));
    return `${call.world.url}${call.path}?${query}`;
  };
  const pages = {
    ...(number > 1 && { first: link(1), prev: link(Math.min(number - 1, last)) }),
    ...(number < last && { next: link(number + 1), last: link(last) }),
  };
  return {
    [key]: items.slice((number - 1) * per, number * per).map(view),
    links: Object.keys(pages).length > 0 ? { pages } : {},
    meta: { total: items.length },
  };
}
