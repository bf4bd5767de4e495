/** @file How a test waits for something. */

type NotYet = false | undefined | null;

/**
 * Asks until the probe gives something that is true, at most `deadlineMs`, and gives that. An error of the probe
 * means "not yet"; its message stands in the error of the deadline. Without `everyMs` it asks every 20 ms at first,
 * then at every tenth of the time it has waited, at least every second.
 */
export async function until<T>(
  what: string,
  deadlineMs: number,
  probe: () => T | NotYet | Promise<T | NotYet>,
  everyMs?: number,
): Promise<T> {
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    const waited = performance.now() - start;
    if (waited >= deadlineMs) {
      const why =
        last === undefined ? "" : `; the last error: ${last instanceof Error ? last.message : last}`;
      throw new Error(`${what}: not so within ${deadlineMs / 1000} s${why}`, { cause: last });
    }
    const pause = everyMs ?? Math.min(1000, Math.max(20, waited / 10));
    // A timer counts whole milliseconds, and may ring a little early: not before the deadline.
    await new Promise((wake) => setTimeout(wake, Math.min(pause, Math.ceil(deadlineMs - waited) + 1)));
  }
}
