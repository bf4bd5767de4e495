/** What the routes into containers share: whose they are, and how much is begun in a minute. */
import { z } from "zod";
import type { Refusal, Result } from "../../../core/gpu";
import type { Owner } from "../commands";
import { Rate } from "../rate";
import { Refused } from "./failures";
import { accountOf, type Identity } from "./identity";
import { granted, selfOf } from "./route";
import * as s from "./schemas";

export const inParams = z.strictObject({ id: s.text(128) });

/** Nothing, or an object without a field. */
export const noBody = z.strictObject({}).nullish();

/** @throws {Refused} 403: it is nobody that has containers */
export function ownerOf(identity: Identity): Owner {
  const { role, tenant } = identity;
  if (role === "tenant" && tenant !== undefined) return { name: tenant, person: false };
  return { name: selfOf(identity), person: true };
}

/** The value, or the refusal as the answer: of too many at once it says when to ask again. */
export function begun<T>(result: Result<T>): T {
  if (!result.ok && result.refusal.code === "busy") throw busy(result.refusal, 5);
  return granted(result);
}

const busy = (refusal: Refusal, seconds: number) =>
  new Refused(refusal, 429, { "retry-after": String(seconds) });

/**
 * Counts what accounts begin, each of which costs dockerd a process.
 *
 * @param most in a minute, of an account
 * @param what `commands`
 * @returns counts one more; throws a `Refused`, 429, where there were too many
 */
export function counter(most: number, what: string): (identity: Identity) => void {
  const rate = new Rate();
  return (identity) => {
    const wait = rate.take(accountOf(identity), most);
    if (wait === 0) return;
    throw busy(
      {
        code: "busy",
        message: `Your account has begun as many ${what} as it may in a minute.`,
        allowed: `${most} ${what} a minute`,
        fix: `Wait ${wait} s, then ask again.`,
      },
      wait,
    );
  };
}
