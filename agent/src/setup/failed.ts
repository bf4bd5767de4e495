import type { Refusal } from "../../../core/gpu";

/** Why a set-up cannot be done, in words for whoever asked for it: no secret is in them. */
export class SetupFailed extends Error {}

export function failedBy({ message, allowed, fix }: Refusal): SetupFailed {
  const more = [allowed === undefined ? "" : `allowed: ${allowed}`, fix ?? ""].filter(Boolean).join("; ");
  return new SetupFailed(more === "" ? message : `${message} (${more})`);
}

export const tooLong = (what: string, milliseconds: number) =>
  new SetupFailed(`${what} took longer than ${milliseconds / 1000} seconds, and was ended`);
