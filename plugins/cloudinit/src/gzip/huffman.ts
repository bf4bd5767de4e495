/** Huffman codes of limited length (RFC 1951, 3.2.2). Pure. */

/** A code, its bits reversed as they are written; length 0: the symbol does not occur. */
export interface Code {
  readonly bits: number;
  readonly length: number;
}

interface Leaf {
  readonly symbol: number;
  readonly count: number;
}

/** @param limit longest code allowed, 15 or 7 */
export function codesFor(counts: readonly number[], limit: number): Code[] {
  const leaves: Leaf[] = [];
  for (const [symbol, count] of counts.entries()) if (count > 0) leaves.push({ symbol, count });
  const lengths = new Array<number>(counts.length).fill(0);
  if (leaves.length <= 2) {
    // Not a tree, but what Go writes: one bit each.
    for (const { symbol } of leaves) lengths[symbol] = 1;
    return canonical(lengths);
  }
  leaves.sort((a, b) => a.count - b.count || a.symbol - b.symbol);
  const perLength = leavesPerLength(
    leaves.map(({ count }) => count),
    Math.min(limit, leaves.length - 1),
  );
  // The rarest symbols have the longest codes.
  let next = 0;
  for (let length = perLength.length - 1; length > 0; length--) {
    for (let i = 0; i < (perLength[length] ?? 0); i++) lengths[leaves[next++]?.symbol ?? 0] = length;
  }
  return canonical(lengths);
}

/**
 * How many symbols get codes of each length: the package-merge method. Several answers can be equally short; Go's is
 * the one where a pair goes before a single symbol of the same weight.
 *
 * @param weights ascending, at least 3
 */
function leavesPerLength(weights: readonly number[], limit: number): number[] {
  const rows: { weight: number; leaf: boolean }[][] = [];
  for (let row = 0; row < limit; row++) {
    const below = rows[row - 1] ?? [];
    const pairs: number[] = [];
    for (let i = 1; i < below.length; i += 2)
      pairs.push((below[i - 1]?.weight ?? 0) + (below[i]?.weight ?? 0));
    const merged: { weight: number; leaf: boolean }[] = [];
    let [leaf, pair] = [0, 0];
    while (leaf < weights.length || pair < pairs.length) {
      const [single, double] = [weights[leaf] ?? Infinity, pairs[pair] ?? Infinity];
      const takeLeaf = single < double;
      merged.push({ weight: takeLeaf ? single : double, leaf: takeLeaf });
      if (takeLeaf) leaf++;
      else pair++;
    }
    rows.push(merged);
  }
  const perLength = new Array<number>(limit + 1).fill(0);
  let taken = 2 * weights.length - 2;
  let above: number | undefined;
  for (let row = limit - 1; row >= 0; row--) {
    const leaves = (rows[row] ?? []).slice(0, taken).filter(({ leaf }) => leaf).length;
    // A symbol's code is as long as the number of rows in which it was taken.
    if (above !== undefined) perLength[limit - 1 - row] = above - leaves;
    above = leaves;
    taken = 2 * (taken - leaves);
  }
  perLength[limit] = above ?? 0;
  return perLength;
}

/** The codes that the lengths alone determine. */
function canonical(lengths: readonly number[]): Code[] {
  const perLength = new Array<number>(17).fill(0);
  for (const length of lengths) if (length > 0) perLength[length] = (perLength[length] ?? 0) + 1;
  const next: number[] = [0, 0];
  for (let length = 1; length < 16; length++)
    next[length + 1] = ((next[length] ?? 0) + (perLength[length] ?? 0)) << 1;
  return lengths.map((length) => {
    if (length === 0) return { bits: 0, length };
    const code = next[length] ?? 0;
    next[length] = code + 1;
    return { bits: reversed(code, length), length };
  });
}

function reversed(code: number, length: number): number {
  let out = 0;
  for (let i = 0; i < length; i++) out |= ((code >> i) & 1) << (length - 1 - i);
  return out;
}

/** The fixed codes (3.2.6). Go has 286 and 30 of them: the others cannot occur. */
export const FIXED = {
  literals: canonical(
    Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
  ),
  distances: canonical(Array.from({ length: 30 }, () => 5)),
};

/** Bits that these symbols take in these codes. */
export function costOf(counts: readonly number[], codes: readonly Code[]): number {
  return counts.reduce((sum, count, symbol) => sum + count * (codes[symbol]?.length ?? 0), 0);
}
