import fc from "fast-check";
import { expect, it } from "vitest";
import { character, LAST_CHARACTER, placeOf } from "../../lib/characters";

it("gives strings of any characters, and fast-check's own words among them", () => {
  const unit = fc.nat(LAST_CHARACTER).map(character, placeOf);
  const strings = fc.sample(fc.string({ unit }), { numRuns: 5000, seed: 1 });
  for (const some of [/\p{Cc}/u, /[\u{10000}-\u{10ffff}]/u, /^[A-Za-z_]{3,}$/]) {
    expect(strings.some((text) => some.test(text))).toBe(true);
  }
});

it("takes nothing else for a character", () => {
  for (const place of [0, 0xd7ff, 0xd800, LAST_CHARACTER]) expect(placeOf(character(place))).toBe(place);
  for (const other of ["", "ab", "\ud800", "\udfff", 7]) expect(() => placeOf(other)).toThrow("not one");
});
