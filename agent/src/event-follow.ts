import { type FileHandle, open } from "node:fs/promises";
import type { EventLine, EventLog } from "./events";
import { InTurn } from "./waiting";

/**
 * A line; or that those after `after` and before `before` are not kept any more; or, before all else, the number after
 * which it begins.
 */
export type Followed = EventLine | { gap: { after: number; before: number } } | { at: number };

/** Lines that are taken from memory at a time. */
const batch = 100;
/** Bytes that are read from a file at a time. */
const block = 64 * 1024;
/** Bytes that are read to see where a line begins: at first, and at most, which is more than the longest line has. */
const firstLook = 2048;
const longestLook = 128 * 1024;
/** Bytes of a line's beginning that have its number. */
const head = 32;

/** Hands on the lines of an event log, as many times as anybody asks. */
export class EventFollower {
  /** @param reads shared by followers of several logs: one block at a time for all of them */
  constructor(
    private readonly log: EventLog,
    private readonly reads = new InTurn(),
  ) {}

  /**
   * Lines of the log after a number, the oldest first, and then those that come, until the log is finished or `signal` is
   * aborted. Asked for one at a time: for a slow reader one block waits in memory, and the rest is read from the files
   * later.
   *
   * @param after undefined: from now on
   */
  async *follow(after: number | undefined, signal: AbortSignal): AsyncGenerator<Followed> {
    const { log } = this;
    let last = Math.min(after ?? log.last, log.last);
    // A number that was never given: its ledger is gone, and what came after it cannot be told.
    if (after !== undefined && after > last) yield { gap: { after, before: last + 1 } };
    else yield { at: last };
    while (!signal.aborted) {
      const recent = log.since(last, batch);
      const lines = recent ?? (await this.read(last, signal));
      for (const one of lines) {
        if (signal.aborted) return;
        if ((one.after ?? one.seq - 1) > last) yield { gap: { after: last, before: one.seq } };
        last = one.seq;
        yield one;
      }
      if (lines.length > 0 || signal.aborted) continue;
      if (recent) {
        if (log.finished) return;
        await log.next(signal);
      } else {
        // None of the files has the next one: it goes on with what is in memory.
        const before = log.first;
        yield { gap: { after: last, before } };
        last = before - 1;
      }
    }
  }

  /** One block at a time for all who read: however many begin far back, berthd has time for everything else. */
  private read(after: number, signal: AbortSignal): Promise<EventLine[]> {
    return this.reads.run(async () => (signal.aborted ? [] : linesAfter(this.log.files, after)));
  }
}

/** Whole lines after a number, at most about a block of them, from the oldest file that has any. */
async function linesAfter(files: readonly string[], after: number): Promise<EventLine[]> {
  const handles: FileHandle[] = [];
  try {
    // The newest first, up to the one that has the line: a file that is put aside meanwhile is met again, not missed.
    for (const file of files) {
      const handle = await openOld(file);
      if (!handle) continue;
      handles.push(handle);
      const first = await seqAt(handle, 0);
      if (first !== undefined && first.seq <= after + 1) break;
    }
    for (const handle of handles.reverse()) {
      const lines = await linesFrom(handle, await startOf(handle, after), after);
      if (lines.length > 0) return lines;
    }
    return [];
  } finally {
    for (const handle of handles) await handle.close();
  }
}

async function openOld(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The lines after a number in the first block, from this byte on, that has any. */
async function linesFrom(handle: FileHandle, from: number, after: number): Promise<EventLine[]> {
  let at = from;
  let size = block;
  for (;;) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(size), 0, size, at);
    // Half of a line that is being written is left alone: it is in memory.
    const whole = buffer.subarray(0, bytesRead).lastIndexOf(0x0a) + 1;
    const lines = buffer.toString("utf8", 0, whole).split("\n");
    const found = lines.flatMap((line) => {
      const numbers = line.endsWith("}") ? numbersOf(line) : undefined;
      return numbers !== undefined && numbers.seq > after ? [{ ...numbers, line }] : [];
    });
    if (found.length > 0 || bytesRead < size) return found;
    // Without an end of a line in it: one that is longer.
    size = whole === 0 ? size * 2 : block;
    at += whole;
  }
}

/** Where to begin reading, so that the line after that number is not missed: numbers grow along the file. */
async function startOf(handle: FileHandle, after: number): Promise<number> {
  let low = 0;
  let high = (await handle.stat()).size;
  while (high - low > block) {
    const middle = Math.floor((low + high) / 2);
    const found = await seqAt(handle, middle);
    if (found && found.seq <= after) low = found.at;
    else high = middle;
  }
  return low;
}

/** The first line that begins at this byte or later, as far as it is near: more is read only behind a line that is long. */
async function seqAt(handle: FileHandle, from: number): Promise<{ at: number; seq: number } | undefined> {
  for (let size = firstLook; size <= longestLook; size *= 4) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(size), 0, size, from);
    const begin = from === 0 ? 0 : buffer.subarray(0, bytesRead).indexOf(0x0a) + 1;
    const whole = bytesRead < size || begin + head <= bytesRead;
    if (whole && (begin > 0 || from === 0)) {
      const numbers = numbersOf(buffer.toString("latin1", begin, Math.min(begin + head, bytesRead)));
      return numbers && { at: from + begin, seq: numbers.seq };
    }
    if (bytesRead < size) return undefined;
  }
  return undefined;
}

function numbersOf(line: string): Pick<EventLine, "seq" | "after"> | undefined {
  const found = /^\{"seq":(\d{1,16}),(?:"after":(\d{1,16}),)?/.exec(line);
  if (!found) return undefined;
  return { seq: Number(found[1]), ...(found[2] !== undefined && { after: Number(found[2]) }) };
}
