import { hash, randomBytes } from "node:crypto";
import type { Identity } from "./identity";

/** What a ticket stands for. */
export interface Ticket {
  /** Whoever uses it is this caller. */
  identity: Identity;
  /** False once whoever made it may not act any more. */
  holds(): boolean;
  /** The one path that it opens. */
  path: string;
  /** Origins of the pages that may use it; undefined: only pages of berthd's own address, which always may. */
  origins?: readonly string[];
}

/**
 * One-time tickets, for whoever cannot send an Authorization header: EventSource and WebSocket of a browser. A ticket
 * opens one stream at one path, once, soon. They are in memory alone: a restart of berthd ends them.
 */
export class Tickets {
  /** By the hash of the ticket; all live equally long, so that the first one ends first. */
  private readonly byHash = new Map<string, Ticket & { account: string; expiresAt: number }>();

  constructor(
    /** Milliseconds since the epoch. By default never set back: half a minute stays half a minute. */
    private readonly now: () => number = () => Math.round(performance.timeOrigin + performance.now()),
    /** Milliseconds. */
    private readonly life = 30_000,
    /** Unused tickets, of one account and of all. */
    readonly most: { account: number; all: number } = { account: 64, all: 4096 },
  ) {}

  /** @returns the ticket and when it ends, in milliseconds since the epoch; or who has as many as they may */
  make(ticket: Ticket, account: string): { ticket: string; expiresAt: number } | "account" | "all" {
    const now = this.now();
    for (const [key, { expiresAt }] of this.byHash) {
      if (expiresAt > now) break;
      this.byHash.delete(key);
    }
    if (this.byHash.size >= this.most.all) return "all";
    const own = [...this.byHash.values()].filter((one) => one.account === account).length;
    if (own >= this.most.account) return "account";
    const text = randomBytes(32).toString("base64url");
    const expiresAt = now + this.life;
    this.byHash.set(hash("sha256", text), { ...ticket, account, expiresAt });
    return { ticket: text, expiresAt };
  }

  /** What a ticket stands for at this path, if it is good there; it stays unused. */
  find(presented: string, path: string): Ticket | undefined {
    const found = this.byHash.get(hash("sha256", presented));
    return found && found.path === path && found.expiresAt > this.now() && found.holds() ? found : undefined;
  }

  /** The same, and the ticket is used up. */
  take(presented: string, path: string): Ticket | undefined {
    const found = this.find(presented, path);
    if (found) this.byHash.delete(hash("sha256", presented));
    return found;
  }
}

/** The ticket in a request's query; undefined: it has none. */
export function ticketOf(url: string): string | undefined {
  const at = url.indexOf("?");
  if (at < 0) return undefined;
  return new URLSearchParams(url.slice(at + 1)).get("ticket") ?? undefined;
}

/**
 * Whether a page of this origin may open a stream. Programs send no Origin; a browser always does, to WebSockets of any
 * site: without this check a page that somebody visits could use what that browser reaches.
 *
 * @param host the request's Host header
 * @param allowed the origins that the ticket is for
 */
export function originAllowed(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[] | undefined,
): boolean {
  if (origin === undefined || allowed?.includes(origin)) return true;
  try {
    const page = new URL(origin);
    // Read by the page's scheme, so that a default port is none on either side.
    return page.origin === origin && new URL(`${page.protocol}//${host}`).host === page.host;
  } catch {
    return false;
  }
}
