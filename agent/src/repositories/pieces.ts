/** What comes in parts of any size, cut where a byte ends each piece. Pure. */
export class Pieces {
  private rest: Buffer = Buffer.alloc(0);

  /** @param tooLong throws; called for a piece that has more bytes than `longest`, before more of it is held */
  constructor(
    private readonly options: {
      end: number;
      longest: number;
      onPiece(piece: Buffer): void;
      tooLong(): never;
    },
  ) {}

  push(part: Buffer): void {
    const text = Buffer.concat([this.rest, part]);
    let from = 0;
    for (let at = text.indexOf(this.options.end); at !== -1; at = text.indexOf(this.options.end, from)) {
      this.options.onPiece(this.checked(text.subarray(from, at)));
      from = at + 1;
    }
    this.rest = Buffer.from(this.checked(text.subarray(from)));
  }

  private checked(piece: Buffer): Buffer {
    return piece.length > this.options.longest ? this.options.tooLong() : piece;
  }
}
