/** A grant that a person asked for, and the container that it is used for. Pure. */
import { bindTo, decide, release } from "./ledger";
import { closedRefusal, conflict, notFound, unusable, unusableRefusal } from "./ledger-refusals";
import { type Ctx, type Decision, defaultReserveSeconds, type LedgerState } from "./ledger-types";
import { type Grant, type Result, refuse } from "./model";
import { troubleOf } from "./trouble";

/** A user's grant, and what it is to be used for. */
export interface OwnGrant {
  id: string;
  user: string;
}

/**
 * Whether the user may use the grant for a new container: it is reserved, or held for a container that stopped. Refusals:
 * closed; not-found: there is none, it is somebody else's, or its time is over; not-allowed: the stack declares it; conflict:
 * a container has it, or its units cannot be used.
 */
export function usableGrant(state: LedgerState, ctx: Ctx, own: OwnGrant): Result<Grant> {
  return state.closed === undefined ? readyGrant(state, ctx, own) : refuse(closedRefusal(state.closed));
}

function readyGrant(state: LedgerState, ctx: Ctx, { id, user }: OwnGrant): Result<Grant> {
  const grant = state.grants.get(id);
  // Somebody else's is not told from none.
  if (grant?.user !== user) return notFound(`${user} has no live grant ${id}`);
  const { key, state: now, container } = grant;
  if (key !== undefined) {
    return refuse({
      code: "not-allowed",
      message: `grant ${id} is declared by the stack as ${key}, and is for that container alone`,
      allowed: "a grant that was asked for",
      fix: "ask for one: berth gpu request",
    });
  }
  if (now === "bound")
    return conflict(
      `grant ${id} is in use by container ${container}`,
      "remove that container first, or ask for another grant",
    );
  const end = endOf(grant);
  if (typeof end === "number" && end <= ctx.now) return notFound(`the time of grant ${id} is over`);
  const trouble = troubleOf(state, grant);
  return unusable(trouble) ? unusableRefusal(id, trouble) : { ok: true, value: grant };
}

/**
 * Binds a user's grant to a container that was made for it and has not started: until it is seen it counts as there, for as
 * long as a reservation lasts. A grant that was held leaves its stopped container. `reservedUntil` keeps the end that it had, for
 * `unbind`: whoever makes containers that never start does not keep a GPU by that. Refusals: those of `usableGrant`, but that a
 * closed ledger binds what it granted before.
 */
export function bindOwn(
  state: LedgerState,
  ctx: Ctx,
  { container, ...own }: OwnGrant & { container: string },
): Decision<Grant> {
  const ready = readyGrant(state, ctx, own);
  if (!ready.ok) return ready;
  const { container: _, ...free } = ready.value;
  const bound = bindTo(state, ctx, { ...free, state: "reserved" }, container, endOfReservation(ctx));
  if (!bound.ok) return bound;
  const next = { ...bound.value, reservedUntil: firstEnd(ctx, endOf(ready.value)) };
  return decide(
    next,
    bound.changes.map((change) => ({ ...change, grant: next })),
  );
}

/**
 * Takes a grant back from a container that never ran: its user may use it for another one until its time is over, which is no
 * later than it was before. Refusals: not-found.
 */
export function unbind(
  state: LedgerState,
  ctx: Ctx,
  { id, container }: { id: string; container: string },
): Decision<Grant> {
  const grant = state.grants.get(id);
  if (!grant) return notFound(`there is no live grant ${id}`);
  if (grant.container !== container) return decide(grant, []);
  const { container: _, boundAt: __, awaitedUntil: ___, stoppedAt: ____, heldUntil: _____, ...rest } = grant;
  const next: Grant = { ...rest, state: "reserved", reservedUntil: firstEnd(ctx, grant.reservedUntil) };
  return decide(next, [{ grant: next, event: "unbound" }]);
}

/**
 * Ends a grant that was asked for together with a container, which is gone or was never made. Refusals: not-found; conflict:
 * another container has the grant by now, and keeps it.
 *
 * @param of.container left out: none was made
 */
export function releaseOf(
  state: LedgerState,
  ctx: Ctx,
  { id, container }: { id: string; container?: string },
  reason: string,
): Decision<Grant> {
  const other = state.grants.get(id)?.container;
  if (other !== undefined && other !== container)
    return conflict(`grant ${id} is of container ${other}`, "remove that container first");
  return release(state, ctx, id, reason, true);
}

/** Of a grant that no container uses; null: until somebody releases it. */
const endOf = ({ state, heldUntil, reservedUntil }: Grant) => (state === "held" ? heldUntil : reservedUntil);

const firstEnd = (ctx: Ctx, end: number | null | undefined) =>
  Math.min(end ?? Number.POSITIVE_INFINITY, endOfReservation(ctx));

const endOfReservation = ({ now, reserveSeconds = defaultReserveSeconds }: Ctx) =>
  now + reserveSeconds * 1000;
