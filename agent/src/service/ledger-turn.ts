import {
  apply,
  type Ctx,
  type Decision,
  type KeptState,
  type LedgerState,
  type Result,
} from "../../../core/gpu";
import { Turn, type Writer } from "../store";
import type { LedgerEvent } from "./types";

export type LedgerWriter = Writer<LedgerTurn>;

/** What other parts of berthd have of a turn. */
export type WriteTurn = Pick<Turn, "put" | "log" | "onUndo" | "onWritten" | "now">;

/** A turn in which GPUs are granted and given back. */
export class LedgerTurn extends Turn {
  /** True: units may have become free, so that somebody who waits may get them. */
  freed = false;
  readonly ctx: Ctx;

  constructor(
    private readonly kept: KeptState,
    ctx: Ctx,
    nextEvent: number,
  ) {
    super(ctx.now, nextEvent);
    this.ctx = {
      ...ctx,
      // What this turn ended is not in the database yet.
      wasGiven: (id, token) =>
        this.rowsOf("grants").some((grant) => grant.id === id || grant.token === token) ||
        ctx.wasGiven?.(id, token) === true,
    };
  }

  /** For reading: what a turn changes of it, it changes by `take`. */
  get state(): LedgerState {
    return this.kept;
  }

  /** Makes a decision so, in memory and in what is written: a row and a line for each change. @param by who decided */
  take<T>(decision: Decision<T>, by?: string): Result<T> {
    if (!decision.ok) return decision;
    const { value, changes } = decision;
    if (changes.length > 0) this.onUndo(apply(this.kept, changes));
    for (const { grant, event } of changes) {
      this.freed ||= grant.state === "released" || event === "found";
      this.put("grants", grant);
      const { id, token, user, group, state, purpose, key, container, reason } = grant;
      const units = grant.units.map(({ uuid, name, memoryMiB, shared }) =>
        shared ? { uuid, name, memoryMiB } : { uuid, name },
      );
      this.log(event, { grant: id, token, user, group, state, units, purpose, key, container, reason, by });
    }
    return { ok: true, value };
  }

  /** @param by who did it */
  emit({ event, ...fields }: LedgerEvent, by?: string): void {
    this.log(event, { ...fields, by });
  }
}
