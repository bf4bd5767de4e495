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
