/** The same request under the same key is answered with the same container. */
import { type Result, refuse } from "../../../core/gpu";
import type { Tables } from "../store";
import type { Book, ManagedRow } from "./book";
import { type Key, keyOf } from "./key";
import { keyIsOver, otherRequest } from "./refusals";

export class Once {
  private readonly inFlight = new Map<string, { fingerprint: string; answer: Promise<Result<ManagedRow>> }>();

  constructor(
    private readonly answered: Pick<Tables["answered"], "find">,
    private readonly book: Pick<Book, "get">,
    private readonly now: () => number,
  ) {}

  /** @param work is called where the key was not used; it notes the key with the container */
  run(key: Key | undefined, work: () => Promise<Result<ManagedRow>>): Promise<Result<ManagedRow>> {
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

  private before({ account, key, fingerprint }: Key): Result<ManagedRow> | undefined {
    const known = this.answered.find(account, keyOf(key), this.now());
    if (known === undefined) return undefined;
    if (known.fingerprint !== fingerprint) return refuse(otherRequest(key));
    const row = this.book.get(known.grantId);
    return row === undefined ? refuse(keyIsOver(key)) : { ok: true, value: row };
  }
}
