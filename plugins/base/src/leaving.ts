/** What is closed when the plugin's process ends: whoever holds something open says so here. */

const closers: (() => Promise<void>)[] = [];

/** @param close runs once, at Cancel or at exit; at most 2 s. */
export function onLeave(close: () => Promise<void>): void {
  closers.push(close);
}

/** Runs what was asked for; never rejects. */
export async function closeAll(): Promise<void> {
  await Promise.allSettled(closers.splice(0).map((close) => close()));
}
