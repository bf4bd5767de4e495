/** When a call has to end: the caller's signal, its deadline, or both. */
import { type CallOptions, SshError } from "./ssh-types";

export interface Limits {
  readonly signal: AbortSignal;
  /** Turns an abort's error into one that says whether the deadline or the caller ended the call. */
  explain(error: unknown): unknown;
  dispose(): void;
}

/** The longest delay that a timer takes; larger ones would fire at once. */
const MAX_TIMER = 2 ** 31 - 1;

export function limitsOf(options: CallOptions): Limits {
  const control = new AbortController();
  let late = false;
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => control.abort(new SshError("cancelled", "the call was cancelled"));
  if (options.signal?.aborted) stop();
  else options.signal?.addEventListener("abort", stop, { once: true });
  if (options.deadline !== undefined) {
    const end = (): void => {
      late = true;
      control.abort(new SshError("deadline", "the call's time was up"));
    };
    const left = options.deadline - Date.now();
    if (left <= 0) end();
    else timer = setTimeout(end, Math.min(left, MAX_TIMER));
  }
  return {
    signal: control.signal,
    explain: (error) =>
      late && error instanceof SshError && error.kind === "cancelled"
        ? new SshError(
            "deadline",
            error.message.replace(/ was (cancelled|ended)$/, " took too long and was ended"),
          )
        : error,
    dispose: () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
    },
  };
}
