/**
 * Files in the snapshots of rendered scripts.
 * Proves: a snapshot names the files in a script, and shows all that is not one of them, to the letter.
 */
import { describe, expect, it } from "vitest";
import { fileTexts, withMarkers } from "../../lib/snapshots";

const texts = [...fileTexts];

it("knows the files of all stages", () => {
  const folders = new Set(texts.map(([file]) => file.replace(/\/[^/]*$/, "")));
  expect([...folders].sort()).toEqual(
    expect.arrayContaining(["components/agent", "components/host", "components/host/storage"]),
  );
});

describe.each(texts)("%s", (file, text) => {
  it("is one line in a script", () => {
    expect(withMarkers(`a\n${text}\nb`)).toBe(`a\n# <${file}>\nb`);
  });

  it("stays in full where a letter differs, or where it is only a part of a line", () => {
    for (const other of [`a\n${text} \nb`, `a\n ${text}\nb`, `a\n${text.slice(1)}\nb`, `a${text}\nb`]) {
      expect(withMarkers(other)).toBe(other);
    }
  });
});

it("has no two files that are the same, or one the other's part", () => {
  for (const [file, text] of texts) {
    expect(texts.filter(([, other]) => other.includes(text)).map(([one]) => one)).toEqual([file]);
  }
});
