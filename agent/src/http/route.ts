import { validatorCompiler } from "fastify-type-provider-zod";
import type { output, ZodType } from "zod";
import type { Result } from "../../../core/gpu";
import { notAllowed, Refused } from "./failures";
import { type Caller, forAll, type Identity } from "./identity";
import * as s from "./schemas";

const described: Record<number, string> = {
  400: "The request is not right.",
  401: "No good bearer token, or no good ticket.",
  403: "Not allowed.",
  404: "There is no such thing, or it is somebody else's.",
  409: "Nothing is free now, or it clashes with what is.",
  413: "The body is too large.",
  415: "The body is no JSON.",
  422: "The rules do not allow it, or this node cannot ever do it.",
  429: "Too many requests, or open streams, or tries without a good token; Retry-After says how long to wait.",
  503: "Nothing can be granted or written at the moment.",
};

/** The failures that all routes share. */
export const failures = Object.fromEntries(
  Object.entries(described).map(([code, words]) => [code, s.failure.describe(words)]),
);

/** The answers of a route: its success, and those failures. */
export function answers(status: number, schema: ZodType, description: string) {
  return { [status]: schema.describe(description), ...failures };
}

/** The value, or the refusal as the answer. */
export function granted<T>(result: Result<T>): T {
  if (!result.ok) throw new Refused(result.refusal);
  return result.value;
}

export function identityOf(request: { identity: Identity | null }): Identity {
  if (!request.identity) throw notAllowed("This", "callers without a token");
  return request.identity;
}

type Role = Identity["role"];

// Before the body is read: who may not call sends no large one, and hears nothing of what would be right.
const only = (...roles: Role[]) => ({
  onRequest: async (request: { identity: Identity | null }) => mustBe(identityOf(request), roles),
});
export const adminOnly = only("admin");
export const programOnly = only("admin", "service");
/** Everybody but tenants: whoever has a socket, or a token of the node's. */
export const NODES: readonly Role[] = ["admin", "service", "user"];

/**
 * For tenants, where the node serves any, and for these roles.
 *
 * @param parts the node's container manager; undefined: it has none
 */
export const tenantsAnd = (
  parts: { manager: { config: object | undefined } } | undefined,
  ...roles: readonly Role[]
) => ({
  config: { tenants: true },
  onRequest: async (request: { identity: Identity | null }) =>
    mustBe(identityOf(request), parts?.manager.config === undefined ? roles : ["tenant", ...roles]),
});

/** @throws {Refused} 403 */
function mustBe({ role, user }: Identity, roles: readonly Role[]): void {
  if (roles.includes(role)) return;
  throw notAllowed("This", user ?? (role === "tenant" ? "tokens of role tenant" : `role ${role}`));
}

/** The tenant that calls; undefined: it is somebody else. */
export const tenantOf = ({ role, tenant }: Identity) => (role === "tenant" ? tenant : undefined);

/** A body whose shape follows from who sends it, checked as that of a route is. @throws {Error} as such a route does */
export function readBody<S extends ZodType>(schema: S, body: unknown): output<S> {
  const read = validatorCompiler({ schema, method: "POST", url: "", httpPart: "body" })(body) as
    | { value: output<S> }
    | { error: unknown };
  if ("value" in read) return read.value;
  const wrong = new Error("the body is not right");
  throw Object.assign(wrong, { validation: read.error, validationContext: "body", statusCode: 400 });
}

/** Of a route that calls {@link readBody}: what its schema says is for the document alone. */
export const bodyReadLater = {
  validatorCompiler: (part: { schema: unknown; httpPart?: string }) =>
    part.httpPart === "body"
      ? (value: unknown) => ({ value })
      : validatorCompiler(part as Parameters<typeof validatorCompiler>[0]),
};

/** The caller, for what outlives its request. */
export function callerOf<C extends Caller>(request: { caller: C | null }): C {
  if (!request.caller) throw notAllowed("This", "callers without a token");
  return request.caller;
}

/** The user that calls, on a route for users and those who act for them. @throws {Refused} for anybody else */
export function selfOf(identity: Identity): string {
  if (identity.user === undefined) throw notAllowed("This", `role ${identity.role}`);
  return identity.user;
}

/** A user acts for itself alone; operators and programs name whom they act for. */
export function actsFor(identity: Identity, user: string | undefined): string {
  if (!forAll(identity)) {
    const self = selfOf(identity);
    if (user !== undefined && user !== self) throw notAllowed(`What is ${user}'s`, self);
    return self;
  }
  if (user === undefined) {
    throw new Refused({
      code: "bad-request",
      message: `The request does not say for which user, and ${identity.actor} is none.`,
      fix: 'Say it: "user": "NAME"',
    });
  }
  return user;
}

/** The path of a request, without its query: what stands in that is not for logs, as a ticket may. */
export const pathOf = (url: string) => url.split("?", 1)[0] ?? "";

/** Matches the paths of a route such as `/api/grants/:id`. */
export const pathPattern = (route: string) =>
  new RegExp(`^${route.replace(/[.]/g, "\\.").replace(/:[a-z]+/g, "[^/]+")}$`);
