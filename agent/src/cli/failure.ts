/** How a command ends when it does not end well: what is said, and the exit code. */
import type { Refusal } from "../../../core/gpu";
import { asJson, clean } from "./text";

/** Exit codes, as `--help` tells them. */
export const exit = {
  ok: 0,
  /** A rule refused it, it is busy, or there is no such thing. */
  refused: 1,
  usage: 2,
  /** berthd cannot be reached, is closed for new grants, or failed. */
  unavailable: 3,
  notAllowed: 4,
  /** As shells say it of a program that Ctrl-C ended. */
  interrupted: 130,
} as const;

export class Failure extends Error {
  constructor(
    readonly refusal: Refusal,
    readonly exitCode: number,
  ) {
    super(refusal.message);
    this.name = "Failure";
  }
}

/** Something that whoever typed the command can mend by typing it otherwise. */
export function usage(message: string, more: Pick<Refusal, "allowed" | "fix"> = {}): Failure {
  return new Failure({ code: "bad-request", message, ...more }, exit.usage);
}

/** berthd is not there, or does not do its work. */
export function unavailable(message: string, fix?: string): Failure {
  return new Failure({ code: "closed", message, fix }, exit.unavailable);
}

/**
 * What an answer that is no success means.
 * @param status HTTP status
 * @param body what came with it: `{error: Refusal}`, unless something else than berthd answered
 */
export function failureOf(status: number, body: unknown, from: string): Failure {
  const refusal = refusalIn(body);
  if (!refusal) {
    return unavailable(
      `${from} answered with HTTP ${status}, and not as berthd does.`,
      "See what listens there, and the log of berthd: journalctl -u berthd",
    );
  }
  return new Failure(refusal, exitCodeOf(status, refusal));
}

function exitCodeOf(status: number, refusal: Refusal): number {
  if (status >= 500) return exit.unavailable;
  if (refusal.code === "closed") return exit.unavailable;
  // `allow_full_gpu` also says `not-allowed`: a rule about GPUs, not about who may call.
  if (refusal.rule !== undefined) return exit.refused;
  if (status === 401 || status === 403) return exit.notAllowed;
  return status === 400 && refusal.code === "bad-request" ? exit.usage : exit.refused;
}

function refusalIn(body: unknown): Refusal | undefined {
  if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("code" in error) || !("message" in error))
    return undefined;
  return typeof error.code === "string" && typeof error.message === "string" ? (error as Refusal) : undefined;
}

/** For people, on stderr. */
export function describe(refusal: Refusal): string {
  const lines = [clean(refusal.message)];
  if (refusal.rule) lines.push(`  rule     ${clean(refusal.rule)}`);
  if (refusal.allowed) lines.push(`  allowed  ${clean(refusal.allowed)}`);
  if (refusal.fix) lines.push(`  to mend  ${clean(refusal.fix)}`);
  return lines.join("\n");
}

/** For programs, on stdout. */
export function describeAsJson(refusal: Refusal): string {
  return asJson({ error: refusal });
}
