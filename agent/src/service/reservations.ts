import { fingerprintOf } from "../../../core/fingerprint";
import { type Grant, type Refusal, type Result, reserve } from "../../../core/gpu";
import type { Tables } from "../store";
import type { LedgerTurn, LedgerWriter } from "./ledger-turn";
import { type Queue, withdrawn } from "./queue";
import type { ReserveRequest } from "./types";

export interface ReservationsOptions {
  writer: LedgerWriter;
  queue: Queue;
  answered: Pick<Tables["answered"], "find">;
  grant(id: string): Grant | undefined;
  release(id: string, reason: string, force: boolean, by: string | undefined): Promise<Result<Grant>>;
  newId(kind: "q"): string;
  now(): number;
  onRefusal?(code: Refusal["code"]): void;
}

/** Requests of one user that may wait at a time. */
const mostWaiting = 64;

/** From a wish to a grant: at once, after a wait, or not at all; and once for each idempotency key. */
export class Reservations {
  private readonly inFlight = new Map<
    string,
    { fingerprint: string; answer: Promise<Result<Grant>>; signal?: AbortSignal }
  >();

  constructor(private readonly options: ReservationsOptions) {}

  reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Result<Grant>> {
    if (request.idempotencyKey === undefined) return this.wish(request, signal);
    const actor = request.actor ?? "";
    const key = request.idempotencyKey;
    const { user, ask, purpose, containers } = request;
    const fingerprint = fingerprintOf([user, ask, purpose, containers]);
    const other: Result<Grant> = {
      ok: false,
      refusal: {
        code: "conflict",
        message: `The idempotency key ${JSON.stringify(key)} was used for another request.`,
        fix: "Send the same request again, or take a new key.",
      },
    };
    const slot = JSON.stringify([actor, key]);
    const running = this.inFlight.get(slot);
    if (running) {
      if (running.fingerprint !== fingerprint) return Promise.resolve(other);
      // Sent again because the first connection broke: its end is not the end of this one.
      return running.answer.then((result) =>
        !result.ok && running.signal?.aborted && !signal?.aborted ? this.reserve(request, signal) : result,
      );
    }
    const known = this.options.answered.find(actor, key, this.options.now());
    if (known) {
      if (known.fingerprint !== fingerprint) return Promise.resolve(other);
      const grant = this.options.grant(known.grantId);
      if (grant) return Promise.resolve({ ok: true, value: grant });
    }
    const answer = this.wish(request, signal, (turn, grant) =>
      turn.put("answered", { actor, key, fingerprint, grantId: grant.id, at: turn.now }),
    );
    this.inFlight.set(slot, { fingerprint, answer, signal });
    const done = () => this.inFlight.delete(slot);
    answer.then(done, done);
    return answer;
  }

  private wish(
    request: ReserveRequest,
    signal: AbortSignal | undefined,
    onGrant: (turn: LedgerTurn, grant: Grant) => void = () => {},
  ): Promise<Result<Grant>> {
    const { user, ask, purpose, containers, actor } = request;
    let waits: Promise<Result<Grant>> | undefined;
    return this.options.writer
      .submit<Grant>((turn) => {
        if (signal?.aborted) return { ok: false, refusal: { code: "conflict", message: withdrawn } };
        const limits = turn.ctx.limitsOf(user);
        const crowded = this.options.queue.size > 0 && limits !== undefined;
        const decision = reserve(turn.state, turn.ctx, { user, ask, purpose, containers });
        const group = limits?.group ?? "";
        const priority = limits?.priority.value ?? 0;
        if (decision.ok && !(crowded && !this.options.queue.wouldBeNext(turn, request, group, priority))) {
          const result = turn.take(decision, actor);
          if (result.ok) onGrant(turn, result.value);
          return result;
        }
        const refusal: Refusal = decision.ok
          ? {
              code: "busy",
              message: `It is free, but ${this.options.queue.size} who waited before ${user} may need it.`,
              fix: "Wait in the queue (--wait, wait_seconds in the API), or try again later.",
            }
          : decision.refusal;
        if (refusal.code === "busy" && (request.waitSeconds ?? 0) > 0) {
          if (this.options.queue.of(user) >= mostWaiting) {
            return {
              ok: false,
              refusal: {
                code: "over-limit",
                message: `${user} has ${mostWaiting} requests in the queue already.`,
                allowed: `${mostWaiting} that wait`,
                fix: "Withdraw some: berth gpu queue",
              },
            };
          }
          const id = this.options.newId("q");
          waits = new Promise((resolve) =>
            this.options.queue.add({
              id,
              request,
              group,
              priority,
              turn,
              signal,
              answer: resolve,
              onGrant,
            }),
          );
        }
        return { ok: false, refusal };
      })
      .then((result) => (waits === undefined ? result : waits))
      .then((result) => {
        if (!result.ok) this.options.onRefusal?.(result.refusal.code);
        // Granted in the moment in which the caller went; one with a key may come back for it.
        else if (signal?.aborted && request.idempotencyKey === undefined) {
          return this.options.release(result.value.id, "the caller went away", false, actor);
        }
        return result;
      });
  }
}
