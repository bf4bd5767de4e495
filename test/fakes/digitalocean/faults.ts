/** What goes wrong on purpose. */
import { ApiError, forbidden, rateLimited, unauthorized } from "./errors";

/**
 * - `rate-limit`: 429 with the headers of a burst, `retry-after` says `retryAfter` seconds;
 * - `server-error`: 500; `unauthorized`: 401; `forbidden`: 403; nothing has changed;
 * - `quota`: 422 with a quota's message;
 * - `cut`: the connection ends before anything has changed;
 * - `lost-answer`: it ends after the change was made, so that the client cannot know;
 * - `error`: `status` and `message` of one's own.
 */
export type FaultKind =
  | "rate-limit"
  | "server-error"
  | "unauthorized"
  | "forbidden"
  | "quota"
  | "cut"
  | "lost-answer"
  | "error";

export interface Fault {
  readonly kind: FaultKind;
  /** @default every method */
  readonly method?: string;
  /** The path without query, such as `/v2/droplets`: this one exactly, or what matches. @default every path */
  readonly path?: string | RegExp;
  /** Strikes at each Nth matching request. @default 1, every one */
  readonly every?: number;
  /** Strikes this many times, then never again. @default without end */
  readonly times?: number;
  /** Seconds, for `rate-limit`. @default 0, so that a test's client retries at once */
  readonly retryAfter?: number;
  /** For `error`. */
  readonly status?: number;
  readonly message?: string;
}

interface Armed {
  readonly fault: Fault;
  seen: number;
  struck: number;
}

export class Faults {
  private armed: Armed[] = [];

  /** Gives what takes the fault back. */
  add(fault: Fault): () => void {
    const entry: Armed = { fault, seen: 0, struck: 0 };
    this.armed.push(entry);
    return () => {
      this.armed = this.armed.filter((other) => other !== entry);
    };
  }

  /** The fault that strikes this request, if one does. All that match count it. */
  strike(method: string, path: string): Fault | undefined {
    const hits = this.armed.filter((entry) => {
      const { fault } = entry;
      if (fault.method !== undefined && fault.method !== method) return false;
      if (typeof fault.path === "string" && fault.path !== path) return false;
      if (fault.path instanceof RegExp && !fault.path.test(path)) return false;
      entry.seen += 1;
      return (
        entry.seen % (fault.every ?? 1) === 0 && entry.struck < (fault.times ?? Number.POSITIVE_INFINITY)
      );
    });
    const [first] = hits;
    if (first !== undefined) first.struck += 1;
    return first?.fault;
  }
}

/** The error that a fault answers with; undefined for those that cut the connection. */
export function errorOf(fault: Fault): ApiError | undefined {
  switch (fault.kind) {
    case "rate-limit":
      return rateLimited();
    case "server-error":
      return new ApiError(500, "Unexpected server-side error");
    case "unauthorized":
      return unauthorized();
    case "forbidden":
      return forbidden();
    case "quota":
      return new ApiError(
        422,
        fault.message ?? "creating this/these droplet(s) will exceed your droplet limit",
      );
    case "error":
      return new ApiError(fault.status ?? 500, fault.message ?? "Unexpected server-side error");
    case "cut":
    case "lost-answer":
      return undefined;
  }
}
