import type { IncomingMessage } from "node:http";

/** The most that a request brings, but for what a stack declares, which operators alone send. Bytes. */
export const bodyLimit = 256 * 1024;

/** Why there is no room: the account has as much as it may, or all together have. */
export type Full = "account" | "all";

/**
 * How much is sent to berthd at a time: a body is kept until its last byte is here, and whoever sends slowly has it kept
 * for half a minute, on each of hundreds of connections.
 *
 * Each account has room of its own, which nobody else can fill; what it sends beyond that comes out of what all share.
 */
export class Bodies {
  private readonly held = new Map<string, number>();
  /** Beyond the accounts' own. */
  private shared = 0;

  constructor(
    /** Bytes that one account may have under way. */
    private readonly mostOfOne = 16 * bodyLimit,
    /** Bytes of all of them together, beyond their own; berthd has 256 MB, and hundreds of accounts at the most. */
    private readonly most = 32 * 1024 * 1024,
    /** Bytes that an account always has: the largest request. */
    private readonly own = bodyLimit,
  ) {}

  get allowed(): string {
    return `${this.own} bytes of each account at a time, and beyond that ${this.mostOfOne} of one, ${this.most} of all`;
  }

  /**
   * @param own whether it is an account; who has shown no token has nothing but what all share
   * @returns lets go of them, once; or what is full
   */
  take(account: string, bytes: number, own = true): (() => void) | Full {
    const before = this.held.get(account) ?? 0;
    if (before + bytes > this.mostOfOne) return "account";
    const beyond = (held: number) => Math.max(0, held - (own ? this.own : 0));
    const more = beyond(before + bytes) - beyond(before);
    if (more > 0 && this.shared + more > this.most) return "all";
    this.held.set(account, before + bytes);
    this.shared += more;
    let gone = false;
    return () => {
      if (gone) return;
      gone = true;
      const now = this.held.get(account) ?? 0;
      this.shared -= beyond(now) - beyond(now - bytes);
      if (now > bytes) this.held.set(account, now - bytes);
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
