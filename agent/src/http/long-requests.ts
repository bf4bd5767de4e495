import type { FastifyReply } from "fastify";
import { Refused } from "./failures";
import type { Caller } from "./identity";
import { callerOf } from "./route";

/** What somebody is told whose stream or request ends since they may not act any more. */
export const NO_LONGER = "Your token has ended, or you are not a user of this node any more.";

/** Requests that may take long. Each is let go when its caller goes, or may not act any more: what it began ends with it. */
export class LongRequests {
  private readonly underWay = new Map<AbortController, Caller>();

  /**
   * @param work ends early when its signal is aborted
   * @throws {Refused} 401: the caller may not act any more, however the work ended
   */
  async run<T>(
    request: { caller: Caller | null },
    { raw }: FastifyReply,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const caller = callerOf(request);
    // Its token may have ended while its body came.
    mustHold(caller);
    const over = new AbortController();
    raw.once("close", () => {
      if (!raw.writableEnded) over.abort();
    });
    if (raw.destroyed) over.abort();
    this.underWay.set(over, caller);
    try {
      return await work(over.signal);
    } finally {
      this.underWay.delete(over);
      mustHold(caller);
    }
  }

  /** Lets go of those whose callers may not act any more. */
  review(): void {
    for (const [over, caller] of this.underWay) if (!caller.holds()) over.abort();
  }
}

function mustHold(caller: Caller): void {
  if (caller.holds()) return;
  throw new Refused(
    { code: "not-allowed", message: NO_LONGER, fix: "Ask again with the token that is good now." },
    401,
  );
}
