/**
 * The texts that several stages share, which the snapshots of scripts only name.
 * Proves: they are what was reviewed, and a snapshot of a script shows all that is not one of them, to the letter.
 */
import { describe, expect, it } from "vitest";
import { sharedTexts, withMarkers } from "../lib/snapshots";

const texts = Object.entries(sharedTexts);

describe.each(texts)("the %s", (name, text) => {
  it("is what was reviewed", () => expect(text).toMatchSnapshot());

  const marker = `# <the ${name}, sha256 `;

  it("is one line in a script, with its hash", () => {
    const [first, named, last, ...more] = withMarkers(`a\n${text}\nb`).split("\n");
    expect([first, last, more]).toEqual(["a", "b", []]);
    expect(named).toMatch(new RegExp(`^${marker}[0-9a-f]{8}>$`));
  });

  it("stays in full where a letter differs, or where it is only a part of a line", () => {
    for (const other of [`a\n${text} \nb`, `a\n ${text}\nb`, `a\n${text.slice(1)}\nb`, `a${text}\nb`]) {
      expect(withMarkers(other)).toBe(other);
    }
  });
});

it("no two of them are the same, or one the other's part", () => {
  for (const [name, text] of texts) {
    expect(texts.filter(([, other]) => other.includes(text)).map(([one]) => one)).toEqual([name]);
  }
});
