/** Lines of a program's output, each with a bound. Pure. */
import { Kept } from "./kept";

/** Bytes of a line of output: what comes after that is left out. */
export const LONGEST_LINE = 16_384;

export interface Line {
  /** Without its end. */
  line: string;
  /** Bytes of the whole line, of which these are the first, up to the bound. Default: nothing is left out. */
  cut?: number;
}

const NEWLINE = 10;

export class LineCutter {
  private readonly kept: Kept;
  /** Whether a line has begun and not ended. */
  open = false;

  /** @param longest bytes of a line */
  constructor(longest = LONGEST_LINE) {
    this.kept = new Kept(longest);
  }

  /** The lines that end in it. */
  *push(bytes: Buffer): Generator<Line> {
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      this.kept.add(bytes.subarray(from, end));
      yield this.take();
      from = end + 1;
    }
    if (from === bytes.length) return;
    this.kept.add(bytes.subarray(from));
    this.open = true;
  }

  /** What came after the last line's end, at the end of all. */
  *rest(): Generator<Line> {
    if (this.open) yield this.take();
  }

  private take(): Line {
    const line = this.kept.toString().replace(/\r$/, "");
    const { cut, total } = this.kept;
    this.kept.clear();
    this.open = false;
    return cut ? { line, cut: total } : { line };
  }
}
