/** The beginning of something that may have no end, in memory of one size. */
import { StringDecoder } from "node:string_decoder";

const FIRST_BYTES = 4096;

export class Kept {
  length = 0;
  /** Bytes that it was given. */
  total = 0;
  private bytes: Buffer = Buffer.alloc(0);

  constructor(private readonly most: number) {}

  /** Whether there was more. */
  get cut(): boolean {
    return this.total > this.length;
  }

  /** Copies: a piece of one byte would else hold the whole that it was read with. */
  add(piece: Buffer): void {
    const part = piece.subarray(0, this.most - this.length);
    this.total += piece.length;
    this.grow(this.length + part.length);
    this.length += part.copy(this.bytes, this.length);
  }

  private grow(length: number): void {
    if (length <= this.bytes.length) return;
    const bytes = Buffer.allocUnsafe(Math.min(this.most, Math.max(FIRST_BYTES, 2 * length)));
    this.bytes.copy(bytes, 0, 0, this.length);
    this.bytes = bytes;
  }

  clear(): void {
    this.length = 0;
    this.total = 0;
  }

  /** As UTF-8; a character that was cut through is left out. */
  toString(): string {
    const decoder = new StringDecoder("utf8");
    const text = decoder.write(this.bytes.subarray(0, this.length));
    return this.cut ? text : text + decoder.end();
  }
}
