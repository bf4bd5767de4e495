import {
  type Grant,
  type LedgerState,
  nextAdmissible,
  queueView,
  type Refusal,
  type Result,
  reserve,
  type Waiting,
} from "../../../core/gpu";
import type { LedgerTurn } from "./ledger-turn";
import type { QueueEntry, ReserveRequest } from "./types";

interface Wish {
  waiting: Waiting & { deadline: number };
  request: ReserveRequest;
  /** Containers with a grant that its user had when it began to wait. */
  hadBound: number;
  answer(result: Result<Grant>): void;
  timer?: NodeJS.Timeout;
  stopListening?: () => void;
  /** Called in the turn that grants it. */
  onGrant(turn: LedgerTurn, grant: Grant): void;
}

export interface WaitOptions {
  id: string;
  request: ReserveRequest;
  group: string;
  priority: number;
  turn: Pick<LedgerTurn, "state" | "ctx">;
  signal?: AbortSignal;
  answer(result: Result<Grant>): void;
  onGrant(turn: LedgerTurn, grant: Grant): void;
}

export const withdrawn = "The request was withdrawn while it waited; nothing was granted.";

/** Requests that wait for a GPU. They live in memory: a caller whose berthd went away asks again. */
export class Queue {
  private readonly wishes = new Map<string, Wish>();
  /** True: something other than a release may have made room. */
  private lookDue = false;

  /** @param turn makes a turn happen soon. */
  constructor(private readonly turn: () => void) {}

  get size(): number {
    return this.wishes.size;
  }

  /** How many of one user's wait. */
  of(user: string): number {
    let count = 0;
    for (const { waiting } of this.wishes.values()) if (waiting.user === user) count++;
    return count;
  }

  /** The next turn looks again, whatever it decided itself. */
  lookAgain(): void {
    this.lookDue = true;
  }

  /** Each with its user's containers as they are now: what `reserve` is asked with. */
  private list(state: LedgerState, wishes: Iterable<Wish> = this.wishes.values()): Waiting[] {
    return [...wishes].map(({ waiting, request: { user, containers }, hadBound }) =>
      containers === undefined
        ? waiting
        : { ...waiting, containers: Math.max(0, containers + boundOf(state, user) - hadBound) },
    );
  }

  /** True: of all who wait, and this one, this one is to be granted next. */
  wouldBeNext(turn: LedgerTurn, request: ReserveRequest, group: string, priority: number): boolean {
    const self: Waiting = {
      id: "",
      user: request.user,
      group,
      priority,
      ask: request.ask,
      purpose: request.purpose,
      since: turn.ctx.now,
      containers: request.containers,
    };
    return nextAdmissible(turn.state, turn.ctx, [...this.list(turn.state), self]) === self;
  }

  add(options: WaitOptions): void {
    const { id, request, signal } = options;
    const { state, ctx } = options.turn;
    const seconds = request.waitSeconds ?? 0;
    const wish: Wish = {
      request,
      hadBound: boundOf(state, request.user),
      answer: options.answer,
      onGrant: options.onGrant,
      waiting: {
        id,
        user: request.user,
        group: options.group,
        priority: options.priority,
        ask: request.ask,
        purpose: request.purpose,
        since: ctx.now,
        deadline: ctx.now + seconds * 1000,
      },
    };
    wish.timer = setTimeout(
      () =>
        this.end(id, {
          code: "busy",
          message: `Nothing became free for ${request.user} within ${seconds} s.`,
          fix: "Wait longer (--wait, wait_seconds in the API), ask for less, or see who holds what: berth gpu status",
        }),
      seconds * 1000,
    );
    if (signal) {
      const abort = () => this.end(id, { code: "conflict", message: withdrawn });
      signal.addEventListener("abort", abort, { once: true });
      wish.stopListening = () => signal.removeEventListener("abort", abort);
      if (signal.aborted) {
        this.wishes.set(id, wish);
        abort();
        return;
      }
    }
    this.wishes.set(id, wish);
    this.lookAgain();
  }

  /** Ends one that waits; false: there is none of this id. */
  end(id: string, refusal: Refusal): boolean {
    const wish = this.wishes.get(id);
    if (!wish) return false;
    this.remove(wish);
    wish.answer({ ok: false, refusal });
    // What was kept free for it is free for those behind it.
    if (this.wishes.size > 0) {
      this.lookAgain();
      this.turn();
    }
    return true;
  }

  endAll(refusal: Refusal): void {
    for (const id of [...this.wishes.keys()]) this.end(id, refusal);
  }

  get(id: string): Waiting | undefined {
    return this.wishes.get(id)?.waiting;
  }

  private remove(wish: Wish): void {
    clearTimeout(wish.timer);
    wish.stopListening?.();
    this.wishes.delete(wish.waiting.id);
  }

  /** Grants in this turn whatever can be granted now, in the queue's order. */
  admit(turn: LedgerTurn): void {
    if (this.wishes.size === 0 || !(turn.freed || this.lookDue)) return;
    this.lookDue = false;
    // They wait on; the next turn that is written looks again.
    turn.onUndo(() => this.lookAgain());
    const left = new Map(this.wishes);
    for (;;) {
      const next = nextAdmissible(turn.state, turn.ctx, this.list(turn.state, left.values()));
      const wish = next && left.get(next.id);
      if (!wish) break;
      left.delete(next.id);
      const { user, ask, purpose, containers } = next;
      const decision = reserve(turn.state, turn.ctx, { user, ask, purpose, containers });
      const result = turn.take(decision, wish.request.actor);
      if (!result.ok) continue;
      wish.onGrant(turn, result.value);
      turn.onWritten(() => {
        // Withdrawn in the meantime: its caller is gone, and `reserve` gives the grant back.
        this.remove(wish);
        wish.answer(result);
      });
    }
  }

  view(turn: Pick<LedgerTurn, "state" | "ctx">): QueueEntry[] {
    return queueView(turn.state, turn.ctx, this.list(turn.state)).flatMap(({ waiting, position, reason }) => {
      const { id, user, group, ask, purpose, since, deadline } = waiting;
      const { actor, idempotencyKey } = this.wishes.get(id)?.request ?? {};
      return [
        {
          id,
          user,
          group,
          ask,
          purpose,
          position,
          since,
          deadline: deadline ?? since,
          reason: { code: "busy", message: reason },
          actor,
          idempotencyKey,
        },
      ];
    });
  }
}

/** Containers of the user that have a grant. */
function boundOf({ grants }: LedgerState, user: string): number {
  const bound = new Set<string>();
  for (const grant of grants.values()) {
    if (grant.user === user && grant.container !== undefined) bound.add(grant.container);
  }
  return bound.size;
}
