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
  /** Whose the log of this id is. */
  ownerOf(id: string): string | undefined;
}

/**
 * The files that have to go. Logs of containers that are gone go after their time. Before it, whoever has most gives: where too
 * many are kept of containers that are gone, the one of them that ended first; for lack of space the same, and when there is none,
 * the oldest file of the largest log.
 */
export function filesToRemove(logs: readonly LogFiles[], bounds: Bounds): LogFile[] {
  const { maxAll, maxGone, keepMs, now, alive, ownerOf } = bounds;
  const shares = new Map<string | undefined, Share>();
  for (const log of [...logs].sort((a, b) => a.at - b.at)) {
    const share = shares.get(ownerOf(log.id)) ?? new Share();
    shares.set(ownerOf(log.id), share);
    share.take(log, alive(log.id));
  }
  const all = [...shares.values()];
  const removed = all.flatMap((share) => share.endedBy(now - keepMs));
  while (sum(all, ({ gone }) => gone.length) > maxGone)
    removed.push(...largest(all, ({ gone }) => gone.length).firstGone());
  while (sum(all, ({ bytes }) => bytes) > maxAll) removed.push(...largest(all, ({ bytes }) => bytes).give());
  return removed;
}

/** What one owner has. */
class Share {
  bytes = 0;
  /** Of containers that are gone, the one first that ended first. */
  readonly gone: LogFiles[] = [];
  private readonly living: LogFiles[] = [];

  take(log: LogFiles, alive: boolean): void {
    this.bytes += log.bytes;
    if (alive) this.living.push({ ...log, files: [...log.files] });
    else this.gone.push(log);
  }

  endedBy(at: number): LogFile[] {
    const ended = this.gone.filter((log) => log.at <= at);
    return ended.flatMap(() => this.firstGone());
  }

  firstGone(): LogFile[] {
    const { files, bytes } = this.gone.shift() as LogFiles;
    this.bytes -= bytes;
    return files;
  }

  give(): LogFile[] {
    if (this.gone.length > 0) return this.firstGone();
    const log = largest(this.living, ({ bytes }) => bytes);
    const oldest = log.files.shift() as LogFile;
    log.bytes -= oldest.bytes;
    this.bytes -= oldest.bytes;
    return [oldest];
  }
}

const sum = <T>(all: readonly T[], size: (one: T) => number) =>
  all.reduce((total, one) => total + size(one), 0);

/** The first one of equals. */
const largest = <T>(all: readonly T[], size: (one: T) => number): T =>
  all.reduce((most, one) => (size(one) > size(most) ? one : most));
