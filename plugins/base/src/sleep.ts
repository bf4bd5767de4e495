/** Waiting between two looks. */
import { setTimeout as pause } from "node:timers/promises";

/** @throws the signal's own reason (`cancelled`) as soon as it is aborted. */
export async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(ms, undefined, { signal });
  } catch (error) {
    throw signal?.reason ?? error;
  }
}
