/** What is wrong with a text that somebody sent, by tables of patterns. Pure. */

/**
 * Patterns that a text must not match, each with what is then said of it: `begins with '-'`. The words must not repeat what was
 * sent: it may hold a secret, and whatever a terminal obeys.
 */
export type Faults = readonly (readonly [pattern: RegExp, words: string])[];

export const faultsOf = (text: string, table: Faults): string[] =>
  table.filter(([pattern]) => pattern.test(text)).map(([, words]) => words);
