import type { LedgerIndex } from "./ledger-index";
import type { Ask, EffectiveLimits, Grant, Inventory, Refusal, Strategy } from "./model";

/** How long a reservation waits for its container, where the node says nothing else. */
export const defaultReserveSeconds = 600;

/** All that is granted on a node, as decisions read it. */
export interface LedgerState {
  /** Live grants (all but released ones), by id. */
  readonly grants: ReadonlyMap<string, Grant>;
  /** The next grant's fencing token. It only grows: to skip a number costs nothing, to give one twice costs a GPU. */
  readonly nextToken: number;
  /** What the node has. `reviewInventory` follows each change of it. */
  readonly inventory: Inventory;
  /** Set: why nothing new is granted, such as `nvidia-smi did not answer`. Releases go on. */
  readonly closed?: string;
  /**
   * Keys that the stack dropped while this state was kept: what starts with one again is not declared. Those that were
   * dropped earlier are in the database alone, see `Ctx.wasDeclared`.
   */
  readonly undeclared: ReadonlySet<string>;
  /** Kept by `apply`; made when it is not there. */
  readonly index?: LedgerIndex;
}

/**
 * The same state for whoever keeps it. What is granted and what is dropped change by `apply` alone, which answers how to
 * take that back. The inventory and `closed` are facts that are set between decisions.
 */
export interface KeptState extends LedgerState {
  grants: Map<string, Grant>;
  nextToken: number;
  inventory: Inventory;
  closed?: string;
  undeclared: Set<string>;
  index?: LedgerIndex;
}

/** What a decision may know of the world. */
export interface Ctx {
  /** Milliseconds since the epoch. */
  now: number;
  newId(): string;
  /**
   * Whether a grant that is over had that id or that token: neither is ever given again.
   * @default none had
   */
  wasGiven?(id: string, token: number): boolean;
  /**
   * Whether a grant that is over had that key: the stack declared it once.
   * @default none had
   */
  wasDeclared?(key: string): boolean;
  /** undefined: no such user. */
  limitsOf(user: string): EffectiveLimits | undefined;
  /** The node's own. */
  strategy: Strategy;
  /** True: shares of a GPU's memory are granted (allocation `shared`). */
  allowShared: boolean;
  /** The most that one share may have, in MiB. @default 0, no limit */
  shareLimitMiB?: number;
  /** How long a reservation waits for its container. @default 600 */
  reserveSeconds?: number;
}

/**
 * granted, bound, stopped (held from now), resumed, released, expired, dropped (by the stack), adopted (found with a
 * container); lost, resliced, quarantined, conflict, waiting (`reason` says what is wrong), found (it is well again);
 * unbound: a declared grant whose container stopped or went, or one whose container never ran; started: a container that was
 * bound before it ran does.
 */
export type ChangeEvent =
  | "granted"
  | "bound"
  | "stopped"
  | "resumed"
  | "released"
  | "expired"
  | "dropped"
  | "adopted"
  | "lost"
  | "resliced"
  | "quarantined"
  | "conflict"
  | "waiting"
  | "found"
  | "unbound"
  | "started"
  | "declared";

/** One row to write, in order, before anybody is told: the whole grant as it is from now on. */
export interface Change {
  grant: Grant;
  event: ChangeEvent;
}

export type Decision<T> = { ok: true; value: T; changes: Change[] } | { ok: false; refusal: Refusal };

export interface ReserveRequest {
  user: string;
  ask: Ask;
  /** A container's name, or a person's words. */
  purpose: string;
  /** Declared by the stack. One live grant per key. */
  key?: string;
  /** Containers that the user has now, with and without GPUs. Left out: as many as hold a grant. */
  containers?: number;
}
