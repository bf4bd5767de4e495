/** What is wrong with a text that somebody sent: tables of patterns, and the refusal that names all of it. Pure. */
import type { Refusal, Result } from "../gpu/model";

/** Patterns that a text must not match, each with what is then said of it: `begins with '-'`. */
export type Faults = readonly (readonly [pattern: RegExp, words: string])[];

export const faultsOf = (text: string, table: Faults): string[] =>
  table.filter(([pattern]) => pattern.test(text)).map(([, words]) => words);

/** Refused. The words must not repeat what was sent: it may hold a secret, and whatever a terminal obeys. */
export const refuse = (refusal: Refusal): Result<never> => ({ ok: false, refusal });
