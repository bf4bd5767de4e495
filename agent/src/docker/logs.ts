/** What a container's main process wrote, as dockerd kept it. */
import { DockerError, garbage, short } from "./errors";
import { type Output, type Piece, readFrames } from "./frames";
import { Kept } from "./kept";
import { type Line, LineCutter } from "./lines";
import type { Transport } from "./transport";

export interface LogLine extends Line {
  stream: Output;
  /** When its first part was written, as `since` takes it: seconds since the epoch with nine decimals. */
  at: string;
}

export interface LogsOptions {
  /** Seconds since the epoch, with up to nine decimals; lines of that very moment come again. Default: all that is kept. */
  since?: string;
  /** Of the lines that there are, these many of the last. Default: all. */
  tail?: number;
  /** Go on with what comes, until the container stops. @default false */
  follow?: boolean;
  /** Ends the stream, which then throws the signal's reason. */
  signal?: AbortSignal;
}

/**
 * The lines of a container without a terminal. It reads no faster than it is asked for lines. Its end says nothing of the
 * container: dockerd may be the one that ended.
 */
export async function readLogs(
  transport: Transport,
  container: string,
  { since, tail, follow = false, signal }: LogsOptions,
): Promise<AsyncIterable<LogLine>> {
  const what = `read the logs of container ${short(container)}`;
  const path = `/containers/${encodeURIComponent(container)}/logs`;
  const query = {
    stdout: true,
    stderr: true,
    timestamps: true,
    follow,
    ...(since !== undefined && { since }),
    ...(tail !== undefined && { tail }),
  };
  return parseLogs(await transport.stream(what, path, query, signal), what);
}

/** Of dockerd's own words. */
const MOST_WORDS = 500;

export async function* parseLogs(stream: AsyncIterable<unknown>, what: string): AsyncGenerator<LogLine> {
  const outputs = { stdout: new Messages("stdout", what), stderr: new Messages("stderr", what) };
  const complaint = new Kept(MOST_WORDS);
  for await (const piece of readFrames(stream, what)) {
    if (piece.from !== "dockerd") yield* outputs[piece.from].take(piece);
    else {
      complaint.add(piece.bytes);
      if (piece.last) throw new DockerError(`${what}: ${complaint.toString().trim()}`, "refused");
    }
  }
  yield* outputs.stdout.rest();
  yield* outputs.stderr.rest();
}

/** `2026-11-30T15:00:00.000000000Z`; the driver "local" gives the node's time zone. */
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})(Z|[+-]\d\d:\d\d)$/;
const LONGEST_STAMP = 35;
const SPACE = 32;

/**
 * The messages of one output: a time, a space and a text, which is a line with its end or, of a line of more than 16 KiB, a
 * part of it. Some versions send the three in one frame, others each in its own; a text is always one frame's end.
 */
class Messages {
  private readonly cutter = new LineCutter();
  private reading: "stamp" | "text" = "stamp";
  private stamp = "";
  private at = "";

  constructor(
    private readonly stream: Output,
    private readonly what: string,
  ) {}

  *take({ bytes, last }: Piece): Generator<LogLine> {
    const text = this.reading === "text" ? bytes : this.afterStamp(bytes);
    if (text.length === 0) return;
    for (const line of this.cutter.push(text)) yield { stream: this.stream, at: this.at, ...line };
    if (last) this.reading = "stamp";
  }

  *rest(): Generator<LogLine> {
    for (const line of this.cutter.rest()) yield { stream: this.stream, at: this.at, ...line };
  }

  private afterStamp(bytes: Buffer): Buffer {
    const space = bytes.indexOf(SPACE);
    this.stamp += bytes.toString("latin1", 0, space < 0 ? Math.min(bytes.length, LONGEST_STAMP + 1) : space);
    if (this.stamp.length > LONGEST_STAMP) throw garbage(this.what, "a line without its time");
    if (space < 0) return bytes.subarray(bytes.length);
    const at = momentOf(this.stamp, this.what);
    if (!this.cutter.open) this.at = at;
    this.stamp = "";
    this.reading = "text";
    return bytes.subarray(space + 1);
  }
}

function momentOf(stamp: string, what: string): string {
  const [, second, nanos, zone] = STAMP.exec(stamp) ?? [];
  const millis = Date.parse(`${second}${zone}`);
  if (Number.isNaN(millis)) throw garbage(what, "a line without its time");
  return `${millis / 1000}.${nanos}`;
}
