/** What one tenant may have of the manager at most. */
import { type Result, refuse } from "../../../core/gpu";
import { environmentBytes } from "../../../core/manager";
import type { Book } from "./book";
import { tooManyOf, tooMuchEnvironment } from "./refusals";

/** Containers that one tenant may have, those to come included. */
export const MOST_OF_TENANT = 500;

/** Bytes of the variables of all containers of one tenant: berthd keeps them in its memory, which is 256 MB. */
export const MOST_ENVIRONMENT = 8 * 2 ** 20;

/** Requests of one tenant that wait or are under way: each is kept whole, also where its caller has gone. */
export const MOST_ASKS = 64;

/** Whether a tenant may have one more container, with these variables. */
export function mayHave(
  book: Book,
  owner: string,
  env: Record<string, string> | undefined,
  most = MOST_OF_TENANT,
): Result<void> {
  if (book.of(owner).length >= most) return refuse(tooManyOf(owner, most));
  if (env !== undefined && book.environmentOf(owner) + environmentBytes(env) > MOST_ENVIRONMENT)
    return refuse(tooMuchEnvironment(owner, MOST_ENVIRONMENT));
  return { ok: true, value: undefined };
}
