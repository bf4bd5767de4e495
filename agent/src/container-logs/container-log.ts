import { utimes } from "node:fs/promises";
import { EventFollower, type Followed } from "../event-follow";
import { type EventLine, EventLog } from "../events";
import type { InTurn } from "../waiting";
import { type LogLine, lineOf, recordOf } from "./line";

/** As `Followed`, with lines of a container. */
export type LogItem = LogLine | Exclude<Followed, EventLine>;

/** Files of one log beside the current one: when a log is full, its oldest quarter goes. */
const keep = 3;
/** Bytes of lines that wait to be written, from which on an append waits as well. */
const roomBytes = 32 * 1024;
/** Bytes of lines that wait, from which on further ones are lost: those of a caller that does not wait, or of a full disk. */
const mostWaiting = 128 * 1024;
/** Bytes of the last lines that are in memory; there may be hundreds of logs. */
const recentBytes = 32 * 1024;
/** Bytes by which a file grows over what it is put aside at: all that waits, and a record of the longest line. */
const overshoot = 256 * 1024;
/** The smallest size of a log, in bytes. */
export const leastBytes = 2 * 2 ** 20;

/** The log of one container: its current file, and beside it FILE.1 (newest) to FILE.3. */
export class ContainerLog {
  private readonly log: EventLog;
  private readonly follower: EventFollower;
  private readonly now: () => number;
  private next: number;
  /** Number of the last line of before, until a line says so. */
  private before: number | undefined;
  private ending: Promise<void> | undefined;

  /** @param last number of the last line that is in the files; 0: none */
  constructor(
    private readonly file: string,
    last: number,
    { maxBytes, now, reads }: { maxBytes: number; now: () => number; reads: InTurn },
  ) {
    this.now = now;
    this.log = new EventLog(file, last, {
      maxBytes: maxBytes / (keep + 1) - overshoot,
      keep,
      recentBytes,
      // Tenants write as much as they like; syncs of it would hold up those of the ledger on the same disk.
      sync: false,
    });
    this.follower = new EventFollower(this.log, reads);
    // Microseconds, and from there on by one: lines that a reader has seen and a power cut took, or a whole file that was
    // removed, are no reason to give a number twice.
    this.next = Math.max(last + 1, now() * 1000);
    this.before = last;
  }

  /** A line could not be written, and why. */
  get problem(): string | undefined {
    return this.log.problem;
  }

  /** Lines that are not in the file yet. */
  get backlog(): number {
    return this.log.backlog;
  }

  /** Number of the last line; 0: there was none. */
  get last(): number {
    return this.log.last;
  }

  get ended(): boolean {
    return this.ending !== undefined;
  }

  /** Resolves when there is room for the next one; to the bytes that it takes, 0: it is lost, and followers see a gap. */
  async append(line: Omit<LogLine, "seq">): Promise<number> {
    const seq = this.next++;
    const after = this.before;
    this.before = undefined;
    const full = this.log.backlogBytes >= mostWaiting;
    const record = full ? "" : recordOf({ ...line, seq }, after);
    if (!full) this.log.append([{ seq, line: record, ...(after !== undefined && { after }) }]);
    await this.log.room(roomBytes);
    return Buffer.byteLength(record);
  }

  /** Tries again to write what could not be written. */
  retry(): void {
    this.log.retry();
  }

  async *follow(after: number, signal: AbortSignal): AsyncGenerator<LogItem> {
    // Beyond the last one are numbers that a power cut took.
    for await (const one of this.follower.follow(Math.min(after, this.log.last), signal))
      yield "line" in one ? (lineOf(one.line) ?? gapAt(one.seq)) : one;
  }

  /** What there is now. */
  async *read(after: number, signal: AbortSignal): AsyncGenerator<LogItem> {
    const { last } = this.log;
    for await (const one of this.follow(after, signal)) {
      if ("seq" in one && one.seq > last) return;
      yield one;
      if (reached(one) >= last) return;
    }
  }

  /** No line comes any more: writes what waits; who follows ends after the last line. */
  end(): Promise<void> {
    this.ending ??= this.endNow();
    return this.ending;
  }

  /** No line comes any more, and none waits. */
  finish(): void {
    this.log.finish();
  }

  private async endNow(): Promise<void> {
    await this.log.close();
    this.finish();
    const at = new Date(this.now());
    try {
      await utimes(this.file, at, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  /** Writes what waits, as at a stop of berthd: followers wait on. */
  close(): Promise<void> {
    return this.log.close();
  }
}

/** A damaged record. */
const gapAt = (seq: number): LogItem => ({ gap: { after: seq - 1, before: seq + 1 } });

/** Number of the last line that a follower knows of. */
function reached(one: LogItem): number {
  if ("at" in one) return one.at;
  return "gap" in one ? one.gap.before - 1 : one.seq;
}
