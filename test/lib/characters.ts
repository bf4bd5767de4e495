/**
 * Any character, for strings of fast-check: `fc.string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf) })`.
 * fast-check's own unit `binary` gives the same, and takes most of a second of a processor to make. Only with the way
 * back, `placeOf`, does fast-check put whole words into its strings, such as `__proto__` and `call`.
 */

/** Half surrogate pairs are no characters. */
const SURROGATES = { first: 0xd800, count: 0x800 };

export const LAST_CHARACTER = 0x10ffff - SURROGATES.count;

export function character(n: number): string {
  return String.fromCodePoint(n < SURROGATES.first ? n : n + SURROGATES.count);
}

/** @throws Error for what is not one character */
export function placeOf(text: unknown): number {
  const point = typeof text === "string" ? (text.codePointAt(0) ?? -1) : -1;
  const place = point < SURROGATES.first ? point : point - SURROGATES.count;
  if (place < 0 || character(place) !== text) throw new Error("not one character");
  return place;
}
