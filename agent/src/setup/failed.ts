import type { Refusal } from "../../../core/gpu";
import { DockerError, wordsFor } from "../docker";

/** Why a set-up cannot be done, in words for whoever asked for it: no secret is in them. */
export class SetupFailed extends Error {}

export function failedBy({ message, allowed, fix }: Refusal): SetupFailed {
  const more = [allowed === undefined ? "" : `allowed: ${allowed}`, fix ?? ""].filter(Boolean).join("; ");
  return new SetupFailed(more === "" ? message : `${message} (${more})`);
}

export const tooLong = (what: string, milliseconds: number) =>
  new SetupFailed(`${what} took longer than ${milliseconds / 1000} seconds, and was ended`);

/** What whoever asked is told: Docker's own words, and what is berthd's fault, are for the operator's log. */
export function wordsOf(error: unknown): string {
  if (error instanceof SetupFailed) return error.message;
  if (error instanceof DockerError) return failedBy(wordsFor(error)).message;
  return "berthd could not do it; the operator finds why in its log";
}
