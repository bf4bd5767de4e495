/** Why a call to dockerd gave nothing, and what makes an answer one. */

/**
 * Why a call gave nothing. `refused`: dockerd answered, and did not do it. `unreachable`: the call did not get there.
 * `unknown`: it may have got there, and what came of it nobody said.
 */
export type Outcome = "refused" | "unreachable" | "unknown";

export class DockerError extends Error {
  constructor(
    message: string,
    readonly outcome: Outcome,
    /** HTTP status of a refusal. */
    readonly status?: number,
  ) {
    super(message);
    this.name = "DockerError";
  }
}

export const garbage = (what: string, why: string) =>
  new DockerError(`${what}: dockerd's answer makes no sense (${why})`, "unknown");

/** A text that an answer must have. */
export function text(value: unknown, what: string, field: string): string {
  if (typeof value !== "string" || value === "") throw garbage(what, `no ${field}`);
  return value;
}

/** Undefined: dockerd has no such thing. */
export async function found<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DockerError && error.status === 404) return undefined;
    throw error;
  }
}

/** An id as `docker ps` shows it. */
export function short(container: string): string {
  return /^[0-9a-f]{64}$/.test(container) ? container.slice(0, 12) : container;
}
