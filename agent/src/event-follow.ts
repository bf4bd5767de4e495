import { type FileHandle, open } from "node:fs/promises";
import type { EventLine, EventLog } from "./events";

/** A line, or that some are not kept any more: those after `after` and before `before`. */
export type Followed = EventLine | { gap: { after: number; before: number } };

/** Lines that are handed over at a time. */
const batch = 100;
const block = 64 * 1024;

/**
 * Lines of the log after a number, the oldest first, and then those that come, until `signal` is aborted. Asked for one
 * at a time: who is slow reads the files later, and nothing waits in memory for it.
 *
 * @param after undefined: from now on
 */
export async function* followEvents(
  log: EventLog,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Followed> {
  let last = Math.min(after ?? log.last, log.last);
  // A number that was never given: its ledger is gone, and what came after it cannot be told.
  if (after !== undefined && after > last) yield { gap: { after, before: last + 1 } };
  while (!signal.aborted) {
    const lines = log.since(last, batch);
    if (lines === undefined) {
      const before = last;
      for await (const one of readLines(log, last)) {
        if (signal.aborted) return;
        if (one.seq > last + 1) yield { gap: { after: last, before: one.seq } };
        last = one.seq;
        yield one;
      }
      // None of the files has the next one: it goes on with what is in memory.
      if (last === before) {
        const next = log.first;
        yield { gap: { after: last, before: next } };
        last = next - 1;
      }
    } else if (lines.length === 0) {
      await log.next(signal);
    } else {
      for (const one of lines) {
        if (signal.aborted) return;
        last = one.seq;
        yield one;
      }
    }
  }
}

/** Whole lines in the log's files after a number, the oldest first. */
async function* readLines(log: EventLog, after: number): AsyncGenerator<EventLine> {
  const handles: FileHandle[] = [];
  try {
    // The newest first, up to the one that has the line: a file that is put aside meanwhile is read twice at most.
    for (const file of log.files) {
      const handle = await openOld(file);
      if (!handle) continue;
      handles.push(handle);
      const first = await seqAt(handle, 0);
      if (first !== undefined && first.seq <= after + 1) break;
    }
    let last = after;
    for (const handle of handles.reverse()) {
      const start = await startOf(handle, last);
      for await (const line of handle.readLines({ start, autoClose: false })) {
        const seq = seqOf(line);
        // Half of a line that is being written: it is in memory.
        if (seq === undefined || !line.endsWith("}")) continue;
        if (seq <= last) continue;
        last = seq;
        yield { seq, line };
      }
    }
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

/** The first line that begins at this byte or later, as far as a block tells. */
async function seqAt(handle: FileHandle, from: number): Promise<{ at: number; seq: number } | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(block), 0, block, from);
  const begin = from === 0 ? 0 : buffer.subarray(0, bytesRead).indexOf(0x0a) + 1;
  if (from > 0 && begin === 0) return undefined;
  const seq = seqOf(buffer.toString("latin1", begin, Math.min(begin + 32, bytesRead)));
  return seq === undefined ? undefined : { at: from + begin, seq };
}

function seqOf(line: string): number | undefined {
  const found = /^\{"seq":(\d{1,15}),/.exec(line)?.[1];
  return found === undefined ? undefined : Number(found);
}
