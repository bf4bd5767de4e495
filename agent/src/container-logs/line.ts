/** A line of a container's log, and how it is written down. Pure. */

/** What printed it: the set-up, or what the start command runs. */
export type LogSource = "setup" | "start";

export interface LogLine {
  /** Grows within a container's log, not always by one. */
  seq: number;
  line: string;
  /** Unix time in milliseconds. */
  timestamp: number;
  source: LogSource;
}

/** Bytes of UTF-8 of a line that are kept. */
export const lineBytes = 16 * 1024;

/** The line; of one that is longer than `lineBytes` the beginning, in whole characters, and a note of how long it is. */
export function cutLine(line: string): string {
  // No character takes more than 3 bytes for each of its places in a string.
  if (line.length * 3 <= lineBytes) return line;
  const bytes = Buffer.byteLength(line);
  if (bytes <= lineBytes) return line;
  const { read } = new TextEncoder().encodeInto(line.slice(0, lineBytes), new Uint8Array(lineBytes));
  return `${line.slice(0, read)} [cut here: the line has ${bytes} bytes]`;
}

/**
 * The line as it stands in the file, without a line end.
 *
 * @param after number of the line before; undefined: `seq` - 1
 */
export function recordOf({ seq, line, timestamp, source }: LogLine, after?: number): string {
  // Whoever reads the file looks for the numbers at its beginning.
  return JSON.stringify({ seq, after, timestamp, source, line: cutLine(line) });
}

/** Undefined: the record is damaged. */
export function lineOf(record: string): LogLine | undefined {
  try {
    const { seq, line, timestamp, source } = JSON.parse(record) as Record<string, unknown>;
    if (typeof seq !== "number" || typeof line !== "string" || typeof timestamp !== "number")
      return undefined;
    return { seq, line, timestamp, source: source === "setup" ? "setup" : "start" };
  } catch {
    return undefined;
  }
}
