/** `berth token`: who may call the API over TCP. */
import { longestKeep } from "../token-keep";
import { readDuration, readDurationUpTo } from "./ask";
import { piece } from "./client";
import type { Context } from "./context";
import { usage } from "./failure";
import { away, clean, table } from "./text";
import type { TokenMade, TokenRotated, TokensView, TokenView } from "./views";

export const roles = ["admin", "user", "service", "tenant"] as const;

export interface TokenOptions {
  json?: boolean;
  role: (typeof roles)[number];
  user?: string;
  tenant?: string;
  name?: string;
  expires?: string;
  rate?: string;
}

export async function createToken(context: Context, options: TokenOptions): Promise<void> {
  const owner = ownerOf(options);
  const seconds = options.expires === undefined ? undefined : readDuration("--expires", options.expires);
  if (options.rate !== undefined && !/^[1-9]\d{0,6}$/.test(options.rate))
    throw usage("--rate takes a number of requests a minute, such as 6000");
  const made = await context.client().post<TokenMade>("/api/tokens", {
    role: options.role,
    ...(owner !== undefined && { owner }),
    ...(options.name !== undefined && { name: options.name }),
    ...(seconds !== undefined && { expires_in_seconds: seconds }),
    ...(options.rate !== undefined && { requests_per_minute: Number(options.rate) }),
  });
  context.show(options.json, made, () => clean(made.token));
  if (!options.json)
    context.io.err(`Token ${clean(made.id)}: shown once. To end it: berth token revoke ${clean(made.id)}\n`);
}

/** Whom it stands for, and for other roles whose programs use it. */
function ownerOf({ role, user, tenant }: TokenOptions): string | undefined {
  if (role === "user" && user === undefined)
    throw usage("--role user needs --user: whom the token stands for");
  if (role === "tenant" && tenant === undefined)
    throw usage("--role tenant needs --tenant: whom the token stands for");
  if (role !== "tenant" && tenant !== undefined) throw usage(`--tenant is of --role tenant, not of ${role}`);
  if (role === "tenant" && user !== undefined)
    throw usage("--user is not of --role tenant: no user is a tenant");
  return role === "tenant" ? tenant : user;
}

export async function listTokens(context: Context, { json }: { json?: boolean }): Promise<void> {
  const view = await context.client().get<TokensView>("/api/tokens");
  const now = context.io.now();
  context.show(json, view, () =>
    view.tokens.length === 0
      ? "No tokens."
      : table(
          ["TOKEN", "ROLE", "OWNER", "NAME", "MADE", "USED", "ENDS"],
          view.tokens.map((token) => [
            token.id,
            token.role,
            token.owner ?? "-",
            token.name ?? "-",
            away(token.createdAt, now),
            token.lastUsedAt === undefined ? "never" : away(token.lastUsedAt, now),
            endOf(token, now),
          ]),
        ),
  );
}

export async function rotateToken(
  context: Context,
  id: string,
  options: { json?: boolean; keep: string },
): Promise<void> {
  const made = await context.client().post<TokenRotated>(`/api/tokens/${piece(id)}/rotate`, {
    keep_seconds: readDurationUpTo("--keep", options.keep, longestKeep),
  });
  context.show(options.json, made, () => clean(made.token));
  if (!options.json) {
    const { replaces } = made;
    const old = clean(replaces.id);
    const now = context.io.now();
    const over = replaces.expiresAt === undefined || replaces.expiresAt <= now;
    const still = `ends ${away(replaces.expiresAt ?? now, now)}; to end it now: berth token revoke ${old}`;
    context.io.err(`Token ${clean(made.id)}: shown once. Token ${old} ${over ? "is ended." : still}\n`);
  }
}

export async function revokeToken(context: Context, id: string, { json }: { json?: boolean }): Promise<void> {
  const answer = await context.client().delete<unknown>(`/api/tokens/${piece(id)}`);
  context.show(json, answer ?? { id }, () => `Token ${clean(id)} is ended.`);
}

function endOf({ revokedAt, expiresAt, replacedBy }: TokenView, now: number): string {
  const heir = replacedBy === undefined ? "" : `, replaced by ${replacedBy}`;
  if (revokedAt !== undefined) return `revoked ${away(revokedAt, now)}${heir}`;
  if (expiresAt === undefined) return "never";
  return `${expiresAt <= now ? "ended " : ""}${away(expiresAt, now)}${heir}`;
}
