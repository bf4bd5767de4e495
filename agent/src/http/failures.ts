import type { Refusal } from "../../../core/gpu";

/** The HTTP status of each kind of refusal. */
export const statusOf: Record<Refusal["code"], number> = {
  "bad-request": 400,
  "not-allowed": 403,
  "not-found": 404,
  conflict: 409,
  busy: 409,
  "unknown-user": 422,
  "unknown-profile": 422,
  "over-limit": 422,
  impossible: 422,
  full: 503,
  closed: 503,
};

/** Seconds after which somebody who found the node full may try again. */
const fullFor = "10";

/** Thrown by a route: the answer is `{ error: refusal }` with the status of its code, or with `status`. */
export class Refused extends Error {
  readonly statusCode: number;
  constructor(
    readonly refusal: Refusal,
    status?: number,
    readonly headers: Record<string, string> = refusal.code === "full" ? { "retry-after": fullFor } : {},
  ) {
    super(refusal.message);
    this.statusCode = status ?? statusOf[refusal.code];
  }
}

export const noSuchPath = (path: string) =>
  new Refused({
    code: "not-found",
    message: `There is no ${path} in this API.`,
    allowed: "the paths of /openapi.json",
  });

/** What somebody who may not do this is told. */
export function notAllowed(what: string, who: string): Refused {
  return new Refused({
    code: "not-allowed",
    message: `${what} is not for ${who}.`,
    fix: "Ask the operator of the node.",
  });
}
