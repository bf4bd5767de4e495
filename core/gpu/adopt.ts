import {
  apply,
  boundGrant,
  createState,
  decide,
  goneChange,
  labelled,
  reviewed,
  sameUuids,
  seenGrant,
  stoppedChange,
} from "./ledger";
import type { Change, Ctx, Decision, KeptState, LedgerState } from "./ledger-types";
import type { Grant } from "./model";
import { indexOf, troubleOf } from "./trouble";
import { foundAsk, foundUnit } from "./unknown-units";

/** A container with GPUs, as its labels tell. */
export interface SeenContainer {
  container: string;
  user: string;
  /** UUIDs of `berth.gpus`. Empty: not known. */
  units: string[];
  /** `berth.grant`: a grant's id, or, where there is no token, a declared key. */
  grant?: string;
  token?: number;
  running: boolean;
  /** What it has of its GPU, where it has a share. Left out: taken for the whole GPU if its grant is not known. */
  shareMiB?: number;
}

export interface Adoption {
  /** Written down now because their containers run without a grant that is known. */
  adopted: Grant[];
  bound: Grant[];
  /** Their containers stopped unseen. */
  stopped: Grant[];
  /** Their containers went unseen. */
  gone: Grant[];
  /** Units that more than one grant has: all of them are kept, and nothing new is granted on those units. */
  conflicts: { uuid: string; grants: string[] }[];
}

/**
 * Brings the ledger to what Docker says: grants whose containers went, stopped or started unseen, and containers that
 * run with GPUs of which the ledger knows nothing (a lost database). Limits are not asked: running work is left alone.
 *
 * @param options.complete false: containers that are not in the list may still be there. @default true
 * @param options.unsure containers of which the list says nothing, though it is complete. @default none
 */
export function adopt(
  state: LedgerState,
  ctx: Ctx,
  seen: readonly SeenContainer[],
  options: { complete?: boolean; unsure?: ReadonlySet<string> } = {},
): Decision<Adoption> {
  // Tokens that containers carry are never given again, whatever the database knows.
  const nextToken = seen.reduce((next, { token = 0 }) => Math.max(next, token + 1), state.nextToken);
  const { inventory, grants, undeclared } = state;
  // Decided on a copy, step by step: each step sees what the one before it did.
  const copy = createState(inventory, grants.values(), { nextToken, undeclared });
  const changes: Change[] = [];
  const news: Adoption = { adopted: [], bound: [], stopped: [], gone: [], conflicts: [] };
  const make = (into: Grant[], change: Change) => {
    apply(copy, [change]);
    changes.push(change);
    into.push(change.grant);
  };

  if (options.complete !== false) {
    const there = new Set(seen.map(({ container }) => container));
    for (const grant of [...copy.grants.values()]) {
      const { container, awaitedUntil = 0 } = grant;
      if (container === undefined || there.has(container) || options.unsure?.has(container)) continue;
      if (awaitedUntil <= ctx.now) make(news.gone, goneChange(ctx, grant));
    }
  }
  // Those that the ledger knows come first: a stranger never takes a grant from its container.
  const known = (one: SeenContainer) => (indexOf(copy).ofContainer(one.container).length > 0 ? 0 : 1);
  const ordered = [...seen].sort(
    (a, b) => known(a) - known(b) || (a.container < b.container ? -1 : a.container > b.container ? 1 : 0),
  );
  for (const one of ordered) {
    const own = indexOf(copy).ofContainer(one.container);
    for (const grant of own) {
      if (one.running && grant.state !== "bound") {
        make(news.bound, { grant: boundGrant(grant, ctx.now, one.container), event: "resumed" });
      } else if (!one.running && grant.state === "bound") make(news.stopped, stoppedChange(ctx, grant));
      else if (grant.awaitedUntil !== undefined)
        make(news.bound, { grant: seenGrant(grant), event: "started" });
    }
    if (!one.running) continue;
    if (own.length === 0 && bindLabelled(copy, ctx, one, (change) => make(news.bound, change))) continue;
    const covered = new Set(own.flatMap(({ units }) => units.map(({ uuid }) => uuid)));
    const missing = one.units.filter((uuid) => !covered.has(uuid));
    if (missing.length > 0) {
      make(news.adopted, {
        grant: adoptedGrant(copy, ctx, one, missing, own.length === 0),
        event: "adopted",
      });
    }
  }
  for (const change of reviewed(copy, copy.grants.values())) {
    apply(copy, [change]);
    changes.push(change);
  }
  news.conflicts = conflictsIn(copy);
  // Also where nothing is written: a token that was seen once must not be given again.
  (state as KeptState).nextToken = copy.nextToken;
  return decide(news, changes);
}

/** The reservation that the container was made for, bound though the news of its start was missed. */
function bindLabelled(
  state: LedgerState,
  ctx: Ctx,
  seen: SeenContainer,
  make: (change: Change) => void,
): boolean {
  const grant = labelled(state, seen);
  if (!grant || grant.container !== undefined || grant.user !== seen.user) return false;
  if (seen.units.length > 0 && !sameUuids(seen.units, grant)) return false;
  make({ grant: boundGrant(grant, ctx.now, seen.container), event: "bound" });
  return true;
}

/** A grant for what a container is seen to have. */
function adoptedGrant(
  state: LedgerState,
  ctx: Ctx,
  seen: SeenContainer,
  uuids: readonly string[],
  first: boolean,
): Grant {
  const { occupancy } = indexOf(state);
  const units = uuids.map((uuid) => foundUnit(occupancy, uuid, seen.shareMiB));
  const key = seen.token === undefined ? seen.grant : undefined;
  const { id, token } = first ? namesOf(state, ctx, seen) : freshNames(state, ctx);
  return {
    id,
    token,
    user: seen.user,
    group: ctx.limitsOf(seen.user)?.group ?? "unknown",
    ask: foundAsk(units),
    units,
    state: "bound",
    purpose: `found in container ${seen.container.slice(0, 12)}`,
    ...(key === undefined ? {} : { key }),
    // The key is granted otherwise by now, or not at all: this is what its earlier container still has.
    ...(key !== undefined &&
    (indexOf(state).ofKey(key) || state.undeclared.has(key) || ctx.wasDeclared?.(key))
      ? { dropped: true }
      : {}),
    container: seen.container,
    createdAt: ctx.now,
    boundAt: ctx.now,
  };
}

/**
 * The container's own id and token where nobody has or had them, so that its labels stay true: the ledger was lost. The
 * labels of a copied container are those of a grant that may be over.
 */
function namesOf(state: LedgerState, ctx: Ctx, { grant, token }: SeenContainer) {
  if (grant === undefined || token === undefined) return freshNames(state, ctx);
  const taken = [...state.grants.values()].some((other) => other.id === grant || other.token === token);
  return taken || ctx.wasGiven?.(grant, token) ? freshNames(state, ctx) : { id: grant, token };
}

const freshNames = (state: LedgerState, ctx: Ctx) => ({ id: ctx.newId(), token: state.nextToken });

function conflictsIn(state: LedgerState): Adoption["conflicts"] {
  const holders = new Map<string, Set<string>>();
  for (const grant of state.grants.values()) {
    if (grant.reason === undefined || troubleOf(state, grant)?.event !== "conflict") continue;
    for (const { uuid } of grant.units) {
      const there = holders.get(uuid);
      if (there) there.add(grant.id);
      else holders.set(uuid, new Set([grant.id]));
    }
  }
  return [...holders]
    .filter(([, grants]) => grants.size > 1)
    .map(([uuid, grants]) => ({ uuid, grants: [...grants].sort() }))
    .sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
}
