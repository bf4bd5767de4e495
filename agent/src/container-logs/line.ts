/** A line of a container's log, and how it is written down. Pure. */
import { type Line, LONGEST_LINE } from "../docker";

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

/**
 * The line; of one that was cut the beginning, and a note of how long it is.
 *
 * @throws Error for one that is too long and was not cut
 */
export function textOf({ line, cut }: Line): string {
  // In bytes it may be longer: of what is no UTF-8 each byte has become a character of three.
  if (line.length > LONGEST_LINE)
    throw new Error(
      `A line of ${line.length} characters is too long for a container's log: it keeps ${LONGEST_LINE} bytes of each, and takes lines that are cut to that.`,
    );
  return cut === undefined ? line : `${line} [cut here: the line has ${cut} bytes]`;
}

/**
 * The line as it stands in the file, without a line end.
 *
 * @param after number of the line before; undefined: `seq` - 1
 */
export function recordOf({ seq, line, timestamp, source }: LogLine, after?: number): string {
  // Whoever reads the file looks for the numbers at its beginning.
  return JSON.stringify({ seq, after, timestamp, source, line });
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
