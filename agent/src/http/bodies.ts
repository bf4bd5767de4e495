import type { IncomingMessage } from "node:http";

/** The most that a request brings, but for a stack's pool, which operators alone send. Bytes. */
export const bodyLimit = 256 * 1024;

/**
 * How much is sent to berthd at a time: a body is kept until its last byte is here, and whoever sends slowly has it kept
 * for half a minute, on each of hundreds of connections.
 */
export class Bodies {
  private readonly held = new Map<string, number>();
  private total = 0;

  constructor(
    /** Bytes that one account may have under way. */
    private readonly mostOfOne = 16 * bodyLimit,
    /** Bytes of all of them together; berthd has 256 MB. */
    private readonly most = 48 * 1024 * 1024,
  ) {}

  get allowed(): string {
    return `${this.mostOfOne} bytes of one account at a time, ${this.most} of all`;
  }

  /** @returns lets go of them, once; undefined: they are too many */
  take(account: string, bytes: number): (() => void) | undefined {
    const mine = this.held.get(account) ?? 0;
    if (mine + bytes > this.mostOfOne || this.total + bytes > this.most) return undefined;
    this.held.set(account, mine + bytes);
    this.total += bytes;
    let gone = false;
    return () => {
      if (gone) return;
      gone = true;
      this.total -= bytes;
      const left = (this.held.get(account) ?? 0) - bytes;
      if (left > 0) this.held.set(account, left);
      else this.held.delete(account);
    };
  }
}

/** Bytes that a request may make berthd keep: as it says, or, where it does not, as many as it may send. */
export function bytesOf({ headers }: Pick<IncomingMessage, "headers">): number {
  if (headers["transfer-encoding"] !== undefined) return bodyLimit;
  const length = Number(headers["content-length"] ?? 0);
  // More is refused before it is read.
  return Number.isFinite(length) ? Math.min(Math.max(length, 0), bodyLimit) : bodyLimit;
}
