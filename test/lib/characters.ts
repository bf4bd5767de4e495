/**
 * Any character, for strings of fast-check: `fc.string({ unit: fc.nat(LAST_CHARACTER).map(character) })`. fast-check's
 * own unit `binary` gives the same, and takes most of a second of a processor to make.
 */

/** Half surrogate pairs are no characters. */
const SURROGATES = { first: 0xd800, count: 0x800 };

export const LAST_CHARACTER = 0x10ffff - SURROGATES.count;

export function character(n: number): string {
  return String.fromCodePoint(n < SURROGATES.first ? n : n + SURROGATES.count);
}
