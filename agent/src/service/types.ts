import type {
  Ask,
  Assignment,
  DeclaredGrant,
  DeclaredPlan,
  EffectiveLimits,
  Grant,
  GrantState,
  Inventory,
  OwnGrant,
  Refusal,
  Result,
} from "../../../core/gpu";
import type { SeenContainer } from "./ports";

/** A wish for GPUs. */
export interface ReserveRequest {
  user: string;
  ask: Ask;
  /** Why: a container's name, a person's words. */
  purpose: string;
  /** Containers that the user has now, with and without GPUs; left out: as many as hold a grant. */
  containers?: number;
  /** Waits so many seconds where it cannot be met now; 0 (default): does not wait. */
  waitSeconds?: number;
  /** The same key of the same actor gives the same grant for a day, however often it is sent. */
  idempotencyKey?: string;
  /** Whoever sent it: `admin`, `user:alice`, `token:ab12`. Keys of two actors never meet. */
  actor?: string;
}

/** A wish that waits. */
export interface QueueEntry {
  id: string;
  user: string;
  group: string;
  ask: Ask;
  purpose: string;
  /** From 1, in the order in which they would be granted now. */
  position: number;
  since: number;
  deadline: number;
  /** Why it is not granted yet. */
  reason: Refusal;
  /** Whoever sent it. */
  actor?: string;
  /** What the sender can find it by; for nobody else. */
  idempotencyKey?: string;
}

export interface GrantFilter {
  user?: string;
  state?: GrantState;
}

export interface HistoryFilter {
  user?: string;
  /** Default 100, at most 1000. */
  limit?: number;
  /** Only grants whose token is smaller: for the next page. */
  before?: number;
}

/** What `POST /api/declared/plan` shows. */
export type DeclaredView = DeclaredPlan;

/** A line of `events.jsonl` beside those of grants. No secrets: it is read by whoever reads logs. */
export interface LedgerEvent {
  event: string;
  message: string;
  [field: string]: unknown;
}

/** A container that should run, that Docker could not start as its devices were not known yet. */
export interface HeldBackContainer {
  /** Docker's id of it. */
  container: string;
  name: string;
  user: string;
  /** Why it is down still: Docker's words, or what a try to start it met. */
  why: string;
  /** When it is tried again, in milliseconds since the epoch; left out: it was not tried yet. */
  next?: number;
}

export interface Health {
  status: "ok" | "degraded";
  reasons: string[];
}

/**
 * The one writer of the ledger. Every command is decided on the state in memory, written with the others of the same
 * turn in one transaction, and answered after the commit; a command whose commit failed is answered `closed` and
 * changed nothing.
 */
export interface LedgerService {
  /** Reads GPUs and containers, and opens the ledger once Docker was reconciled; keeps trying until then. */
  start(): Promise<void>;
  /** Ends waiting requests with `closed`, writes what is under way, and closes. */
  stop(): Promise<void>;

  /** `viewer`: a user, who is told nothing of others; undefined: an operator, who is told all. */
  readonly health: (viewer?: string) => Health;
  /** Undefined once new grants can be made; else why not. */
  readonly closed: () => string | undefined;

  inventory(): Inventory;
  limitsOf(user: string): EffectiveLimits | undefined;
  grants(filter?: GrantFilter): Grant[];
  grant(id: string): Grant | undefined;
  /** What an actor was granted under an idempotency key within the last day, also where it is over. */
  grantOf(actor: string, key: string): Grant | undefined;
  history(filter?: HistoryFilter): Grant[];
  queue(): QueueEntry[];
  /** Containers that Docker held back, as of the last look. */
  heldBackNow(): HeldBackContainer[];

  /** Grants, waits or refuses. `signal` aborted: the wish is withdrawn, and a grant made in that moment released. */
  reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Result<Grant>>;
  /** Whether `reserve` would be granted now; changes nothing. */
  check(request: Pick<ReserveRequest, "user" | "ask">): Result<{ units: Grant["units"] }>;
  /**
   * A container has the grant from now on. Before it starts is fine: a bind over the API (one with `by`) keeps the grant
   * for as long as a reservation lasts, counted from the bind, though no look shows the container. One that was seen
   * and is not there any more loses its grant at once; a look that began before the bind says nothing of it.
   */
  bind(request: { id: string; token: number; container: string }): Promise<Result<Grant>>;
  /** Whether a user's grant can be used for a new container now; changes nothing. */
  usable(own: OwnGrant): Result<Grant>;
  /** Looks at that again and binds, in one turn. The container has not started: see `bind` over the API. @param by who did it */
  bindOwn(request: OwnGrant & { container: string }, by: string): Promise<Result<Grant>>;
  /** Takes a grant back from a container that never ran: it is reserved again. */
  unbind(request: { id: string; container: string }): Promise<Result<Grant>>;
  /**
   * Ends a grant that was asked for together with a container, which is gone; left out: none was made. Refused (conflict) where
   * another container has the grant by now.
   */
  releaseOf(request: { id: string; container?: string }, reason: string): Promise<Result<Grant>>;
  /** `force`: also while a container has it. */
  release(id: string, reason?: string, force?: boolean): Promise<Result<Grant>>;
  cancel(id: string): Result<{ id: string }>;

  containerStarted(event: {
    container: string;
    /** A grant's id, or a key. */
    grant?: string;
    token?: number;
    units?: string[];
  }): Promise<Result<Grant[]>>;
  containerStopped(container: string): Promise<Result<Grant[]>>;
  containerGone(container: string): Promise<Result<Grant[]>>;
  /** Brings the ledger in line with one whole look at the containers. */
  reconcile(seen: readonly SeenContainer[]): Promise<Result<Grant[]>>;

  /** A line in the event log, written with the next transaction; resolves when that is durable. */
  emit(event: LedgerEvent): Promise<void>;

  /** Resolves once GPUs that were changed a moment ago are read; after 30 s in any case. */
  settled(): Promise<void>;
  assignment(): Assignment;
  planDeclared(declared: readonly DeclaredGrant[]): DeclaredView;
  /** Commits exactly `expect` (when given), or nothing. */
  applyDeclared(declared: readonly DeclaredGrant[], expect?: Assignment): Promise<Result<DeclaredView>>;
}
