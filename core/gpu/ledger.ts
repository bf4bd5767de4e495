/**
 * The ledger's state machine. A decision changes no grant: it answers what is to be written, and the caller makes it so
 * with `apply`. Nothing here knows the time or makes an id by itself.
 */
import { askRefusal } from "./asks";
import { closedRefusal, conflict, notFound, unusable, unusableRefusal } from "./ledger-refusals";
import {
  type Change,
  type Ctx,
  type Decision,
  defaultReserveSeconds,
  type KeptState,
  type LedgerState,
  type ReserveRequest,
} from "./ledger-types";
import { type Grant, type Inventory, refuse } from "./model";
import { overRules, unknownUser, usageOf } from "./rules";
import { indexOf, troubleOf } from "./trouble";

/**
 * @param grants every row that was ever written, or at least all live ones.
 * @param options.nextToken a floor: the largest token ever given plus 1, where released rows were not kept. After a
 *   database was lost, the time in milliseconds: larger than any token that was counted up from 1.
 */
export function createState(
  inventory: Inventory,
  grants: Iterable<Grant> = [],
  options: { nextToken?: number; closed?: string; undeclared?: Iterable<string> } = {},
): KeptState {
  const state: KeptState = {
    grants: new Map(),
    nextToken: options.nextToken ?? 1,
    inventory,
    undeclared: new Set(options.undeclared),
  };
  if (options.closed !== undefined) state.closed = options.closed;
  for (const grant of grants) {
    if (grant.state !== "released") state.grants.set(grant.id, grant);
    state.nextToken = Math.max(state.nextToken, grant.token + 1);
  }
  return state;
}

/**
 * Makes decided changes so.
 * @returns what takes them back, all but `nextToken`. Of several, the last is called first.
 */
export function apply(state: KeptState, changes: readonly Change[]): () => void {
  const { grants, undeclared } = state;
  const index = indexOf(state);
  const before: { grant: Grant; was: Grant | undefined; wasUndeclared: boolean }[] = [];
  for (const { grant } of changes) {
    const { id, key } = grant;
    const was = grants.get(id);
    before.push({ grant, was, wasUndeclared: key !== undefined && undeclared.has(key) });
    if (was) index.remove(was);
    if (grant.state === "released") grants.delete(id);
    else {
      grants.set(id, grant);
      index.add(grant);
    }
    state.nextToken = Math.max(state.nextToken, grant.token + 1);
    if (key === undefined) continue;
    if (index.ofKey(key)) undeclared.delete(key);
    else undeclared.add(key);
  }
  return () => {
    for (const { grant, was, wasUndeclared } of before.reverse()) {
      if (was) grants.set(was.id, was);
      else grants.delete(grant.id);
      if (grant.key === undefined) continue;
      if (wasUndeclared) undeclared.add(grant.key);
      else undeclared.delete(grant.key);
    }
    // Made anew from the grants when it is next needed.
    state.index = undefined;
  };
}

/**
 * Writes down who gets what, before anything is created. Refusals: closed, bad-request, unknown-user, over-limit,
 * not-allowed, unknown-profile, impossible, busy; conflict: the key has a grant.
 */
export function reserve(state: LedgerState, ctx: Ctx, request: ReserveRequest): Decision<Grant> {
  if (state.closed !== undefined) return refuse(closedRefusal(state.closed));
  const wrong = askRefusal(request.ask);
  if (wrong) return refuse(wrong);
  const limits = ctx.limitsOf(request.user);
  if (!limits) return refuse(unknownUser(request.user));
  const index = indexOf(state);
  const { key } = request;
  const there = key === undefined ? undefined : index.ofKey(key);
  if (there) return conflict(`${key} has grant ${there.id} already`, "release it first, or use it");
  const over = overRules(limits, request.ask, usageOf(index.ofUser(request.user), request.containers));
  if (over) return refuse(over);
  const { strategy, allowShared, shareLimitMiB } = ctx;
  const placed = index.occupancy.place(request.ask, { strategy, allowShared, shareLimitMiB });
  if (!placed.ok) return placed;
  const { user, ask, purpose } = request;
  const common = { user, group: limits.group, ask, units: placed.value, purpose };
  const ends = { reservedUntil: ctx.now + (ctx.reserveSeconds ?? defaultReserveSeconds) * 1000 };
  const grant: Grant = {
    id: ctx.newId(),
    token: state.nextToken,
    ...common,
    state: "reserved",
    ...(key === undefined ? {} : { key }),
    createdAt: ctx.now,
    ...(key === undefined ? ends : {}),
  };
  return decide(grant, [{ grant, event: "granted" }]);
}

/**
 * A container has what was reserved. The token proves that it is this grant that it was made for.
 *
 * @param request.awaited the container may start later: until it is seen it counts as there, for as long as a
 *   reservation lasts. @default false, it runs
 */
export function bind(
  state: LedgerState,
  ctx: Ctx,
  { id, token, container, awaited }: { id: string; token: number; container: string; awaited?: boolean },
): Decision<Grant> {
  const grant = state.grants.get(id);
  if (!grant) return notFound(`there is no live grant ${id}`);
  if (grant.token !== token) {
    return conflict(
      `grant ${id} has token ${grant.token}, not ${token}`,
      "remove the container: its grant is over",
    );
  }
  const seconds = ctx.reserveSeconds ?? defaultReserveSeconds;
  return bindTo(state, ctx, grant, container, awaited ? ctx.now + seconds * 1000 : undefined);
}

/** As `bind`, for a grant that its caller has looked at. */
export function bindTo(
  state: LedgerState,
  ctx: Ctx,
  grant: Grant,
  container: string,
  awaitedUntil?: number,
): Decision<Grant> {
  if (grant.state === "bound" && grant.container === container) return decide(grant, []);
  if (grant.container !== undefined && grant.container !== container) {
    const fix = "remove that container first, or ask for another grant";
    return conflict(`grant ${grant.id} is of container ${grant.container}`, fix);
  }
  const other = indexOf(state)
    .ofContainer(container)
    .find(({ id }) => id !== grant.id);
  if (other)
    return conflict(`container ${container} has grant ${other.id} already`, "one container, one grant");
  const trouble = troubleOf(state, grant);
  if (unusable(trouble)) return unusableRefusal(grant.id, trouble);
  const next: Grant = {
    ...boundGrant(grant, ctx.now, container),
    ...(awaitedUntil === undefined ? {} : { awaitedUntil }),
  };
  return decide(next, [{ grant: next, event: grant.state === "held" ? "resumed" : "bound" }]);
}

/** The grant of a container of which something is known now. */
export function seenGrant({ awaitedUntil: _, reservedUntil: __, ...grant }: Grant): Grant {
  return grant;
}

/** A grant that a container has from now on. */
export function boundGrant(grant: Grant, now: number, container: string): Grant {
  const { stoppedAt: _, heldUntil: __, ...rest } = seenGrant(grant);
  return { ...rest, state: "bound", container, boundAt: now };
}

/**
 * A container started, as Docker says. With a grant of its own: held becomes bound again. Else by its label: a grant's
 * id with its token, or (without a token) a declared key. Refusals: not-found; conflict: its grant is another's, is
 * over, is of other units than `units`, or is of units that are gone or somebody else's by now.
 */
export function containerStarted(
  state: LedgerState,
  ctx: Ctx,
  seen: { container: string; grant?: string; token?: number; units?: readonly string[] },
): Decision<Grant[]> {
  const index = indexOf(state);
  const own = index.ofContainer(seen.container);
  if (own.length > 0) {
    const stale = own.find(
      ({ id, token }) => id === seen.grant && seen.token !== undefined && token !== seen.token,
    );
    if (stale)
      return conflict(
        `grant ${stale.id} has token ${stale.token}, not ${seen.token}`,
        "remove the container",
      );
    const asleep = own.filter(({ state: now }) => now !== "bound");
    for (const { id, trouble } of asleep.map((grant) => ({
      id: grant.id,
      trouble: troubleOf(state, grant),
    }))) {
      if (unusable(trouble)) return unusableRefusal(id, trouble);
    }
    const changes = own.flatMap((grant): Change[] => {
      if (grant.state !== "bound")
        return [{ grant: boundGrant(grant, ctx.now, seen.container), event: "resumed" }];
      return grant.awaitedUntil === undefined ? [] : [{ grant: seenGrant(grant), event: "started" }];
    });
    return decide(
      own.map((grant) => changes.find((one) => one.grant.id === grant.id)?.grant ?? grant),
      changes,
    );
  }
  const grant = labelled(state, seen);
  if (!grant) {
    return notFound(
      `container ${seen.container} has no live grant${seen.grant === undefined ? "" : ` ${seen.grant}`}`,
    );
  }
  if (seen.units && !sameUuids(seen.units, grant)) {
    return conflict(
      `container ${seen.container} has ${seen.units.join(", ") || "nothing"}, and grant ${grant.id} is of ${grant.units.map(({ uuid }) => uuid).join(", ")}`,
      "replace the container",
    );
  }
  const bound = bindTo(state, ctx, grant, seen.container);
  return bound.ok ? decide([bound.value], bound.changes) : bound;
}

/** The live grant that a container's labels speak of. */
export function labelled(state: LedgerState, seen: { grant?: string; token?: number }): Grant | undefined {
  if (seen.grant === undefined) return undefined;
  if (seen.token === undefined) return indexOf(state).ofKey(seen.grant);
  const grant = state.grants.get(seen.grant);
  return grant?.token === seen.token ? grant : undefined;
}

export function sameUuids(uuids: readonly string[], { units }: Grant): boolean {
  return uuids.length === units.length && units.every(({ uuid }) => uuids.includes(uuid));
}

/** A container stopped: its grant is held for `gpu_hold_after_stop` (0: released; null: until somebody releases it). */
export function containerStopped(state: LedgerState, ctx: Ctx, container: string): Decision<Grant[]> {
  const grants = indexOf(state)
    .ofContainer(container)
    .filter(({ state: now }) => now === "bound");
  return over(
    state,
    grants.map((grant) => stoppedChange(ctx, grant)),
  );
}

export function stoppedChange(ctx: Ctx, bound: Grant): Change {
  const grant = seenGrant(bound);
  if (grant.dropped)
    return { grant: releasedGrant(grant, ctx.now, "dropped by the stack"), event: "released" };
  if (grant.key !== undefined) return unboundChange(ctx, grant);
  // Nobody can start it again for a user who is gone.
  const hold = ctx.limitsOf(grant.user)?.gpu_hold_after_stop.value;
  if (hold === undefined || (hold !== null && hold <= 0)) {
    return { grant: releasedGrant(grant, ctx.now, "container stopped"), event: "released" };
  }
  const heldUntil = hold === null ? null : ctx.now + hold * 1000;
  return { grant: { ...grant, state: "held", stoppedAt: ctx.now, heldUntil }, event: "stopped" };
}

function unboundChange(
  ctx: Ctx,
  { container: _, heldUntil: __, awaitedUntil: ___, ...grant }: Grant,
): Change {
  return { grant: { ...grant, state: "reserved", stoppedAt: ctx.now }, event: "unbound" };
}

/** A container is not there any more: its grant is over, or, declared, waits for the next container. */
export function containerGone(state: LedgerState, ctx: Ctx, container: string): Decision<Grant[]> {
  const grants = indexOf(state).ofContainer(container);
  return over(
    state,
    grants.map((grant) => goneChange(ctx, grant)),
  );
}

export function goneChange(ctx: Ctx, grant: Grant): Change {
  if (grant.key !== undefined && !grant.dropped) return unboundChange(ctx, grant);
  const reason = grant.dropped ? "dropped by the stack" : "container removed";
  return { grant: releasedGrant(grant, ctx.now, reason), event: "released" };
}

/**
 * Ends a grant. One that a container has is refused (conflict), as is a declared one (not-allowed: the stack would
 * want it back); `force`: the caller has stopped the container, or knows that there is none.
 */
export function release(
  state: LedgerState,
  ctx: Ctx,
  id: string,
  reason = "released",
  force = false,
): Decision<Grant> {
  const grant = state.grants.get(id);
  if (!grant) return notFound(`there is no live grant ${id}`);
  if (grant.state === "bound" && !force) {
    return conflict(`grant ${id} is in use by container ${grant.container}`, "stop the container first");
  }
  if (grant.key !== undefined && !grant.dropped && !force) {
    return refuse({
      code: "not-allowed",
      message: `grant ${id} is declared by the stack as ${grant.key}`,
      fix: "take it out of the stack's configuration, then run up",
    });
  }
  const next = releasedGrant(grant, ctx.now, reason);
  const done = over(state, [{ grant: next, event: "released" }]);
  return done.ok ? decide(next, done.changes) : done;
}

/**
 * Reservations and holds that are over. While the ledger is closed nothing expires: a container that nobody can see
 * at the moment may have been made for the reservation.
 */
export function tick(state: LedgerState, ctx: Ctx): Decision<Grant[]> {
  if (state.closed !== undefined) return decide([], []);
  const changes: Change[] = [];
  for (const grant of state.grants.values()) {
    const reserved = grant.state === "reserved" && grant.reservedUntil !== undefined;
    const expired = reserved
      ? (grant.reservedUntil ?? 0) <= ctx.now
      : grant.state === "held" && typeof grant.heldUntil === "number" && grant.heldUntil <= ctx.now;
    if (!expired) continue;
    const reason = reserved ? "no container came in time" : "hold is over";
    changes.push({ grant: releasedGrant(grant, ctx.now, reason), event: "expired" });
  }
  return over(state, changes);
}

/** Says anew what is wrong with each grant, where that changed. */
export function reviewed(
  state: LedgerState,
  grants: Iterable<Grant>,
  without: ReadonlySet<string> = new Set(),
): Change[] {
  const changes: Change[] = [];
  for (const grant of grants) {
    if (without.has(grant.id)) continue;
    const trouble = troubleOf(state, grant, without);
    if (trouble?.reason === grant.reason) continue;
    const { reason: _, ...rest } = grant;
    changes.push(
      trouble
        ? { grant: { ...rest, reason: trouble.reason }, event: trouble.event }
        : { grant: rest, event: "found" },
    );
  }
  return changes;
}

/** The changes, and what they mean for those who waited for the same units. */
function over(state: LedgerState, changes: Change[]): Decision<Grant[]> {
  const changed = new Set(changes.map(({ grant }) => grant.id));
  const ended = changes.filter(({ grant }) => grant.state === "released").map(({ grant }) => grant);
  const index = indexOf(state);
  const near = new Map<string, Grant>();
  for (const unit of ended.flatMap(({ units }) => units)) {
    for (const grant of index.beside(unit)) {
      if (grant.reason !== undefined && !changed.has(grant.id)) near.set(grant.id, grant);
    }
  }
  const gone = new Set(ended.map(({ id }) => id));
  return decide(
    changes.map(({ grant }) => grant),
    [...changes, ...reviewed(state, near.values(), gone)],
  );
}

export function releasedGrant(
  { heldUntil: _, reservedUntil: __, awaitedUntil: ___, ...grant }: Grant,
  now: number,
  reason: string,
): Grant {
  return { ...grant, state: "released", releasedAt: now, reason };
}

export function decide<T>(value: T, changes: Change[]): Decision<T> {
  return { ok: true, value, changes };
}
