/** Bits into bytes, lowest bit first (RFC 1951, 3.1.1). */
export class BitWriter {
  private readonly out: number[] = [];
  private waiting = 0;
  private count = 0;

  /** @param size at most 16 */
  bits(value: number, size: number): void {
    this.waiting |= value << this.count;
    this.count += size;
    while (this.count >= 8) {
      this.out.push(this.waiting & 0xff);
      this.waiting >>>= 8;
      this.count -= 8;
    }
  }

  /** Zero bits up to the next whole byte. */
  align(): void {
    if (this.count > 0) this.bits(0, 8 - this.count);
  }

  /** Whole bytes, from a byte's beginning. */
  bytes(bytes: Iterable<number>): void {
    for (const byte of bytes) this.out.push(byte);
  }

  /** A stored block (3.2.4). */
  stored(bytes: ArrayLike<number> & Iterable<number>, last: boolean): void {
    this.bits(last ? 1 : 0, 3);
    this.align();
    this.bits(bytes.length, 16);
    this.bits(~bytes.length & 0xffff, 16);
    this.bytes(bytes);
  }

  end(): Buffer {
    this.align();
    return Buffer.from(this.out);
  }
}
