/** Waiting, and doing a few things at a time. */

/** Resolves after the time, or at once when the signal ends it. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** As `Promise.all` over a map, with so many at a time; the first failure ends it. */
export async function mapLimit<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        results[index] = await work(items[index] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

/** One thing after another, in the order in which they were asked for. */
export class InTurn {
  private last: Promise<unknown> = Promise.resolve();

  /** Settles as `work` does; those after it have their turn also when it failed. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => {});
    return done;
  }
}

/**
 * Ends what takes longer than it may, in words of its own.
 *
 * @param act ends when its signal does
 * @throws what `tooLong` says; otherwise the signal's reason, or what `act` throws
 */
export async function within<T>(
  { milliseconds, signal, tooLong }: { milliseconds: number; signal: AbortSignal; tooLong(): Error },
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = AbortSignal.timeout(milliseconds);
  try {
    return await act(AbortSignal.any([signal, late]));
  } catch (error) {
    throw late.aborted && !signal.aborted ? tooLong() : error;
  }
}
