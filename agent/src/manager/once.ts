/** The same request under the same key is answered with the same container. */
import { type Result, refuse } from "../../../core/gpu";
import type { Tables } from "../store";
import type { Book, ManagedRow } from "./book";
import { keyOf, type Whose } from "./maker";
import { keyIsOver, otherRequest } from "./refusals";

export type Key = NonNullable<Whose["key"]>;

/** A container, and whether it stood in the pool. */
export interface Given {
  row: ManagedRow;
  fromPool: boolean;
}

export class Once {
  private readonly inFlight = new Map<string, { fingerprint: string; answer: Promise<Result<Given>> }>();

  constructor(
    private readonly answered: Pick<Tables["answered"], "find">,
    private readonly book: Pick<Book, "get">,
    private readonly now: () => number,
  ) {}

  /** @param work is called where the key was not used; it notes the key with the container */
  run(key: Key | undefined, work: () => Promise<Result<Given>>): Promise<Result<Given>> {
    if (key === undefined) return work();
    const slot = JSON.stringify([key.account, key.key]);
    const running = this.inFlight.get(slot);
    if (running !== undefined)
      return running.fingerprint === key.fingerprint
        ? running.answer
        : Promise.resolve(refuse(otherRequest(key.key)));
    const before = this.before(key);
    if (before !== undefined) return Promise.resolve(before);
    const answer = work().finally(() => this.inFlight.delete(slot));
    this.inFlight.set(slot, { fingerprint: key.fingerprint, answer });
    return answer;
  }

  private before({ account, key, fingerprint }: Key): Result<Given> | undefined {
    const known = this.answered.find(account, keyOf(key), this.now());
    if (known === undefined) return undefined;
    if (known.fingerprint !== fingerprint) return refuse(otherRequest(key));
    const row = this.book.get(known.grantId);
    return row === undefined ? refuse(keyIsOver(key)) : { ok: true, value: { row, fromPool: row.pooled } };
  }
}
