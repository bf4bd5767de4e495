/** Writes a block in the shortest of three ways: fixed codes, codes of its own, or plain (RFC 1951, 3.2.3). */
import type { BitWriter } from "./bits";
import { type Code, codesFor, costOf, FIXED } from "./huffman";
import type { Block, Token } from "./lz77";

const END = 256;
const MAX_STORED = 65535;
/** The order in which the lengths of the code lengths' own codes are written (3.2.7). */
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

interface Step {
  readonly base: number;
  readonly extra: number;
}

/** The tables of 3.2.5: each extra bit is used `repeat` times, after `plain` codes without any. */
function steps(first: number, plain: number, repeat: number, count: number): Step[] {
  const out: Step[] = [];
  let base = first;
  for (let i = 0; i < count; i++) {
    const extra = i < plain ? 0 : Math.floor((i - plain) / repeat) + 1;
    out.push({ base, extra });
    base += 1 << extra;
  }
  return out;
}

const LENGTHS: Step[] = [...steps(3, 8, 4, 28), { base: 258, extra: 0 }];
const DISTANCES = steps(1, 4, 2, 30);

/** By value: the place in the table. */
function places(table: readonly Step[], most: number): Uint8Array {
  const out = new Uint8Array(most + 1);
  for (const [place, { base }] of table.entries()) out.fill(place, base);
  return out;
}

const LENGTH_PLACE = places(LENGTHS, 258);
const DISTANCE_PLACE = places(DISTANCES, 32768);

export function writeBlock(out: BitWriter, { tokens, bytes }: Block): void {
  const { literals, distances } = countsOf(tokens);
  const literalCodes = codesFor(literals, 15);
  const distanceCodes = codesFor(distances, 15);
  const header = headerOf(literalCodes, distanceCodes);

  const extra = tokens.reduce<number>((sum, token) => sum + extraOf(token), 0);
  const fixed = 3 + costOf(literals, FIXED.literals) + costOf(distances, FIXED.distances) + extra;
  const dynamic = header.cost + costOf(literals, literalCodes) + costOf(distances, distanceCodes) + extra;
  const stored =
    bytes === undefined || bytes.length > MAX_STORED ? Number.POSITIVE_INFINITY : (bytes.length + 5) * 8;

  if (bytes !== undefined && stored < Math.min(fixed, dynamic)) {
    out.stored(bytes, false);
  } else if (dynamic < fixed) {
    header.write(out);
    writeTokens(out, tokens, literalCodes, distanceCodes);
  } else {
    out.bits(0b010, 3);
    writeTokens(out, tokens, FIXED.literals, FIXED.distances);
  }
}

function extraOf(token: Token): number {
  if (typeof token === "number") return 0;
  const length = LENGTHS[LENGTH_PLACE[token.length] ?? 0];
  const distance = DISTANCES[DISTANCE_PLACE[token.distance] ?? 0];
  return (length?.extra ?? 0) + (distance?.extra ?? 0);
}

/** How often each symbol occurs, without the zeros at the end. */
function countsOf(tokens: readonly Token[]): { literals: number[]; distances: number[] } {
  const literals = new Array<number>(END + 1 + LENGTHS.length).fill(0);
  const distances = new Array<number>(DISTANCES.length).fill(0);
  const add = (counts: number[], symbol: number): void => {
    counts[symbol] = (counts[symbol] ?? 0) + 1;
  };
  for (const token of tokens) {
    if (typeof token === "number") add(literals, token);
    else {
      add(literals, END + 1 + (LENGTH_PLACE[token.length] ?? 0));
      add(distances, DISTANCE_PLACE[token.distance] ?? 0);
    }
  }
  add(literals, END);
  for (const counts of [literals, distances]) while (counts.at(-1) === 0) counts.pop();
  // There has to be one distance code; Go takes its use into account, though there is none.
  if (distances.length === 0) distances.push(1);
  return { literals, distances };
}

function writeTokens(
  out: BitWriter,
  tokens: readonly Token[],
  literals: readonly Code[],
  distances: readonly Code[],
): void {
  const code = (found: Code | undefined): void => out.bits(found?.bits ?? 0, found?.length ?? 0);
  const value = (codes: readonly Code[], from: number, table: readonly Step[], place: number, n: number) => {
    code(codes[from + place]);
    const step = table[place];
    if (step !== undefined && step.extra > 0) out.bits(n - step.base, step.extra);
  };
  for (const token of tokens) {
    if (typeof token === "number") code(literals[token]);
    else {
      value(literals, END + 1, LENGTHS, LENGTH_PLACE[token.length] ?? 0, token.length);
      value(distances, 0, DISTANCES, DISTANCE_PLACE[token.distance] ?? 0, token.distance);
    }
  }
  code(literals[END]);
}

/** A block's own codes, written as the lengths of both, run by run (3.2.7). */
function headerOf(
  literals: readonly Code[],
  distances: readonly Code[],
): { cost: number; write: (out: BitWriter) => void } {
  const runs = runsOf([...literals, ...distances].map(({ length }) => length));
  const counts = new Array<number>(LENGTH_ORDER.length).fill(0);
  for (const { symbol } of runs) counts[symbol] = (counts[symbol] ?? 0) + 1;
  const codes = codesFor(counts, 7);
  const order = [...LENGTH_ORDER];
  while (order.length > 4 && counts[order.at(-1) ?? 0] === 0) order.pop();
  const extra = runs.reduce((sum, run) => sum + run.extra, 0);
  return {
    cost: 3 + 5 + 5 + 4 + 3 * order.length + costOf(counts, codes) + extra,
    write(out) {
      out.bits(0b100, 3);
      out.bits(literals.length - 257, 5);
      out.bits(distances.length - 1, 5);
      out.bits(order.length - 4, 4);
      for (const symbol of order) out.bits(codes[symbol]?.length ?? 0, 3);
      for (const { symbol, value, extra } of runs) {
        out.bits(codes[symbol]?.bits ?? 0, codes[symbol]?.length ?? 0);
        if (extra > 0) out.bits(value, extra);
      }
    },
  };
}

interface Run {
  readonly symbol: number;
  readonly value: number;
  readonly extra: number;
}

function runsOf(lengths: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (let i = 0; i < lengths.length; ) {
    const length = lengths[i] ?? 0;
    let count = 1;
    while (lengths[i + count] === length) count++;
    i += count;
    const single = { symbol: length, value: 0, extra: 0 };
    if (length !== 0) {
      runs.push(single);
      count--;
      for (; count >= 3; count -= Math.min(count, 6))
        runs.push({ symbol: 16, value: Math.min(count, 6) - 3, extra: 2 });
    } else {
      for (; count >= 11; count -= Math.min(count, 138))
        runs.push({ symbol: 18, value: Math.min(count, 138) - 11, extra: 7 });
      if (count >= 3) {
        runs.push({ symbol: 17, value: count - 3, extra: 3 });
        count = 0;
      }
    }
    for (; count > 0; count--) runs.push(single);
  }
  return runs;
}
