/** The API's errors: a status, a short identifier that belongs to it, and a sentence. */

/** Identifier of each status, as the description's shared responses give them. */
const identifiers: Record<number, string> = {
  400: "bad_request",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  409: "conflict",
  412: "precondition_failed",
  422: "unprocessable_entity",
  429: "too_many_requests",
  500: "server_error",
  501: "not_implemented",
  503: "service_unavailable",
};

/** What a handler throws to answer with an error. */
export class ApiError extends Error {
  readonly id: string;

  constructor(
    readonly status: number,
    message: string,
    id?: string,
  ) {
    super(message);
    this.id = id ?? identifiers[status] ?? "error";
  }
}

export const notFound = () => new ApiError(404, "The resource you were accessing could not be found.");
export const unprocessable = (message: string) => new ApiError(422, message);
export const conflict = (message: string) => new ApiError(409, message);
export const unauthorized = () => new ApiError(401, "Unable to authenticate you.");
export const forbidden = () => new ApiError(403, "You do not have permission to perform this action.");
export const rateLimited = () => new ApiError(429, "API Rate limit exceeded.");
export const pendingEvent = () => unprocessable("Droplet already has a pending event.");
