/**
 * Finds repetitions as Go's compressor does at level 6. Pure. What decides the bytes: the hash of 4 bytes, how far
 * back and how often it looks, when it waits for a better match at the next byte, and where blocks end.
 */

/** A byte, or a repetition of `length` bytes from `distance` back. */
export type Token = number | { readonly length: number; readonly distance: number };

export interface Block {
  readonly tokens: readonly Token[];
  /** The bytes that the tokens stand for; undefined where Go no longer has them, and so cannot store them plain. */
  readonly bytes: Uint8Array | undefined;
}

const WINDOW = 1 << 15;
const MIN_MATCH = 4;
const MAX_MATCH = 258;
const HASH_BITS = 17;
const HASH_FACTOR = 0x1e35a7bd;
const MAX_TOKENS = 1 << 14;
/** No match is looked for where one of this length waits already. */
const LAZY = 16;
/** A match of this length ends the search. */
const NICE = 128;
const TRIES = 128;
/** A match of 4 bytes from farther back costs more than it saves. */
const FAR = 4096;

/**
 * @param input all bytes
 * @param writes how many of them come with each write; see {@link Matcher.shift}
 */
export function blocksOf(input: Uint8Array, writes: readonly number[]): Block[] {
  const matcher = new Matcher(input);
  for (const size of writes) matcher.write(size);
  return matcher.end();
}

class Matcher {
  /** By hash: the last position, plus 1. */
  private readonly last = new Int32Array(1 << HASH_BITS);
  /** By position modulo the window: the position before it of the same hash, plus 1. */
  private readonly before = new Int32Array(WINDOW);
  private readonly blocks: Block[] = [];
  private tokens: Token[] = [];
  /** Everything in front of it is forgotten. */
  private base = 0;
  private at = 0;
  private filled = 0;
  private blockStart = 0;
  private length = MIN_MATCH - 1;
  private distance = 0;
  /** The byte in front of `at` is not written yet, for a match there may be better than the one at `at`. */
  private waiting = false;

  constructor(private readonly input: Uint8Array) {}

  write(size: number): void {
    const end = this.filled + size;
    while (this.filled < end) {
      this.run(false);
      this.shift();
      this.filled = Math.min(end, this.base + 2 * WINDOW);
    }
  }

  end(): Block[] {
    this.run(true);
    return this.blocks;
  }

  /** The buffer holds two windows; when it is nearly used up, the first one goes. */
  private shift(): void {
    if (this.at - this.base < 2 * WINDOW - (MIN_MATCH + MAX_MATCH)) return;
    this.base += WINDOW;
  }

  private run(last: boolean): void {
    for (;;) {
      const ahead = this.filled - this.at;
      if (ahead < MIN_MATCH + MAX_MATCH && !last) return;
      if (ahead === 0) {
        this.flush();
        return;
      }
      const candidate = ahead >= MIN_MATCH ? this.insert(this.at) : -1;
      const held = { length: this.length, distance: this.distance };
      this.length = MIN_MATCH - 1;
      this.distance = 0;
      const oldest = Math.max(this.base, this.at - WINDOW);
      if (candidate >= oldest && ahead > held.length && held.length < LAZY)
        this.find(candidate, oldest, ahead);
      if (held.length >= MIN_MATCH && this.length <= held.length) this.takeMatch(held);
      else this.takeByte();
    }
  }

  /** The match that began one byte earlier is the better one. */
  private takeMatch(match: { length: number; distance: number }): void {
    this.tokens.push(match);
    const end = this.at + match.length - 1;
    for (let i = this.at + 1; i < end; i++) if (i + MIN_MATCH <= this.filled) this.insert(i);
    this.at = end;
    this.waiting = false;
    this.length = MIN_MATCH - 1;
    if (this.tokens.length === MAX_TOKENS) this.cut(this.at);
  }

  private takeByte(): void {
    if (this.waiting) {
      this.tokens.push(this.input[this.at - 1] ?? 0);
      if (this.tokens.length === MAX_TOKENS) this.cut(this.at);
    }
    this.at++;
    this.waiting = true;
  }

  private flush(): void {
    if (this.waiting) this.tokens.push(this.input[this.at - 1] ?? 0);
    this.waiting = false;
    if (this.tokens.length > 0) this.cut(this.at);
  }

  private cut(end: number): void {
    const kept = this.blockStart >= this.base;
    this.blocks.push({
      tokens: this.tokens,
      bytes: kept ? this.input.subarray(this.blockStart, end) : undefined,
    });
    this.tokens = [];
    this.blockStart = end;
  }

  /** Notes a position. @returns the one before it of the same hash; -1: none. */
  private insert(i: number): number {
    const { input } = this;
    const word =
      ((input[i] ?? 0) << 24) |
      ((input[i + 1] ?? 0) << 16) |
      ((input[i + 2] ?? 0) << 8) |
      (input[i + 3] ?? 0);
    const hash = Math.imul(word, HASH_FACTOR) >>> (32 - HASH_BITS);
    const before = this.last[hash] ?? 0;
    this.before[i % WINDOW] = before;
    this.last[hash] = i + 1;
    return before - 1;
  }

  /** The longest match among the positions of the same hash, latest first. */
  private find(candidate: number, oldest: number, ahead: number): void {
    const { input, at } = this;
    const longest = Math.min(MAX_MATCH, ahead);
    const enough = Math.min(NICE, longest);
    let i = candidate;
    for (let tries = TRIES; tries > 0; tries--) {
      if (input[i + this.length] === input[at + this.length]) {
        let same = 0;
        while (same < longest && input[i + same] === input[at + same]) same++;
        if (same > this.length && (same > MIN_MATCH || at - i <= FAR)) {
          this.length = same;
          this.distance = at - i;
          if (same >= enough) return;
        }
      }
      // At a whole window back, what came before it is overwritten.
      if (i === at - WINDOW) return;
      i = (this.before[i % WINDOW] ?? 0) - 1;
      if (i < oldest) return;
    }
  }
}
