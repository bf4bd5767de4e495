import type { StoredToken } from "../store";

/** Who calls: known by the socket that the call came through, or by its bearer token. */
export interface Identity {
  role: StoredToken["role"];
  /** The user that it stands for; none for an operator, a program or a tenant. */
  user?: string;
  /** The tenant that it is of; none for others. */
  tenant?: string;
  /** As events name it. */
  actor: string;
  /** Id of the bearer token that it came by; none on a Unix socket. */
  token?: string;
  /** Requests a minute that its token may send; left out: what its role may. */
  requestsPerMinute?: number;
}

/** A caller, as long as it may act. */
export interface Caller {
  identity: Identity;
  /** False once it may not act any more: its token has ended, or it is no user of the node any more. */
  holds(): boolean;
}

/** True: an operator, or a program that acts for users. Named, so that a new role has no rights by being none of the others. */
export const forAll = ({ role }: Identity) => role === "admin" || role === "service";

/** True: the caller may see what is that user's. */
export function sees(identity: Identity, user: string): boolean {
  return forAll(identity) || identity.user === user;
}

/** What limits count by: a person and a tenant have one account, however many tokens; any other token is one of its own. */
export function accountOf({ role, user, tenant, actor }: Identity): string {
  if (role === "user" && user !== undefined) return `user:${user}`;
  if (role === "tenant" && tenant !== undefined) return `tenant:${tenant}`;
  return actor;
}

/** Whom it counts for what a request makes berthd keep: an account, or else where it came from. */
export interface Payer {
  name: string;
  /** False: it shows no good token, and nobody knows who it is. */
  known: boolean;
}

export const root: Identity = { role: "admin", actor: "root" };
