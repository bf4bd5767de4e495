/** "Did you mean": the known word that a mistyped one is nearest to. Pure. */

/** Edits from one word to the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Case, `-` and `_` do not count: `memory_reservation` is `memoryReservation`. */
const plain = (word: string) => word.toLowerCase().replace(/[-_]/g, "");

/** The known word that differs in two letters at most, and in less than half of them; undefined where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const given = plain(word);
  const ranked = known
    .map((name) => ({ name, edits: distance(plain(name), given) }))
    .filter(({ name, edits }) => edits <= 2 && edits * 2 < Math.max(name.length, given.length))
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.name;
}
