import type { FastifyReply } from "fastify";
import type { ZodType } from "zod";
import type { Result } from "../../../core/gpu";
import { notAllowed, Refused } from "./failures";
import type { Identity } from "./identity";
import * as s from "./schemas";

const described: Record<number, string> = {
  400: "The request is not right.",
  401: "No good bearer token.",
  403: "Not allowed.",
  404: "There is no such thing, or it is somebody else's.",
  409: "Nothing is free now, or it clashes with what is.",
  413: "The body is too large.",
  415: "The body is no JSON.",
  422: "The rules do not allow it, or this node cannot ever do it.",
  429: "Too many requests without a good token.",
  503: "Nothing can be granted or written at the moment.",
};

/** The answers of a route: its success, and the failures that all routes share. */
export function answers(status: number, schema: ZodType, description: string) {
  return {
    [status]: schema.describe(description),
    ...Object.fromEntries(
      Object.entries(described).map(([code, words]) => [code, s.failure.describe(words)]),
    ),
  };
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

const only = (...roles: Identity["role"][]) => ({
  onRequest: async (request: { identity: Identity | null }) => {
    const identity = identityOf(request);
    if (!roles.includes(identity.role)) throw notAllowed("This", identity.user ?? `role ${identity.role}`);
  },
});
// Before the body is read: who may not call sends no large one, and hears nothing of what would be right.
export const adminOnly = only("admin");
export const programOnly = only("admin", "service");

/** A user acts for itself alone; operators and programs name whom they act for. */
export function actsFor(identity: Identity, user: string | undefined): string {
  if (identity.role === "user") {
    const self = identity.user as string;
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

/** Aborted when the caller goes before it was answered. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once("close", () => {
    if (!raw.writableEnded) gone.abort();
  });
  return gone.signal;
}
