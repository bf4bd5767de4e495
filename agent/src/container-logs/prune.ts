import type { LogFile, LogFiles } from "./files";

export interface Bounds {
  /** Bytes of all logs together. */
  maxAll: number;
  /** How many logs of containers that are gone. */
  maxGone: number;
  /** How long the log of a container that is gone is kept, in milliseconds. */
  keepMs: number;
  /** Unix time in milliseconds. */
  now: number;
  /** Whether the container of this id is there. */
  alive(id: string): boolean;
}

/**
 * The files that have to go. Those of containers that are gone go after their time, and before it for lack of space or where
 * they are too many, the one first that ended first. Of the others the largest gives its oldest file, again and again.
 */
export function filesToRemove(logs: readonly LogFiles[], bounds: Bounds): LogFile[] {
  const { maxAll, maxGone, keepMs, now, alive } = bounds;
  const gone = logs.filter(({ id }) => !alive(id)).sort((a, b) => a.at - b.at);
  const living = logs.filter(({ id }) => alive(id)).map((log) => ({ ...log, files: [...log.files] }));
  const removed: LogFile[] = [];
  let bytes = logs.reduce((sum, log) => sum + log.bytes, 0);
  for (const [n, log] of gone.entries()) {
    if (log.at + keepMs > now && bytes <= maxAll && gone.length - n <= maxGone) continue;
    removed.push(...log.files);
    bytes -= log.bytes;
  }
  while (bytes > maxAll) {
    const largest = living.reduce((most, log) => (log.bytes > most.bytes ? log : most));
    const oldest = largest.files.shift() as LogFile;
    removed.push(oldest);
    largest.bytes -= oldest.bytes;
    bytes -= oldest.bytes;
  }
  return removed;
}
