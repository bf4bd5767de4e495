import { type DeclaredPlan, planDeclared, promisedPlan } from "./declared";
import { type DeclaredInput, sameAssignment } from "./declared-jobs";
import { decide, releasedGrant, reviewed } from "./ledger";
import { closedRefusal, conflict } from "./ledger-refusals";
import type { Change, Ctx, Decision, LedgerState } from "./ledger-types";
import { type Assignment, type DeclaredGrant, type Grant, type GrantedUnit, refuse } from "./model";
import { indexOf } from "./trouble";

/**
 * Makes the ledger what the stack declares: all of it, or nothing. Keys that are not declared any more are released, or
 * dropped where a container still has their units. Refusals: conflict (a key is refused; or the plan is not `expect`
 * by now), closed (something new would be granted).
 *
 * @param request.expect what a preview promised: committed as it is, as long as it can be kept.
 */
export function applyDeclared(
  state: LedgerState,
  ctx: Ctx,
  request: { declared: readonly DeclaredGrant[]; expect?: Assignment },
): Decision<DeclaredPlan> {
  const { declared, expect } = request;
  const input: DeclaredInput = {
    inventory: state.inventory,
    grants: [...state.grants.values()],
    declared,
    limitsOf: (user) => ctx.limitsOf(user),
    strategy: ctx.strategy,
    allowShared: ctx.allowShared,
    previous: expect,
  };
  const plan = (expect && promisedPlan(input, expect)) ?? planDeclared(input);
  if (plan.refusals.length > 0) {
    const words = plan.refusals.map(
      ({ key, refusal: { message, rule } }) => `${key}: ${message}${rule ? ` (${rule})` : ""}`,
    );
    return conflict(
      `not everything that is declared can be granted: ${words.join("; ")}`,
      "mend what is named, then run up",
    );
  }
  if (expect && !sameAssignment(plan.assignment, expect)) {
    return conflict(
      `the node's grants changed since the preview: ${differences(plan.assignment, expect).join("; ")}`,
      "preview again, then run up",
    );
  }
  return commit(state, ctx, declared, plan);
}

function commit(
  state: LedgerState,
  ctx: Ctx,
  declared: readonly DeclaredGrant[],
  plan: DeclaredPlan,
): Decision<DeclaredPlan> {
  const index = indexOf(state);
  const changes: Change[] = [];
  const after = new Map<string, Grant>();
  const change = (one: Change) => {
    changes.push(one);
    after.set(one.grant.id, one.grant);
  };
  const retire = (grant: Grant) => {
    if (grant.container !== undefined) change({ grant: { ...grant, dropped: true }, event: "dropped" });
    else change({ grant: releasedGrant(grant, ctx.now, "dropped by the stack"), event: "released" });
  };
  const keys = new Set(declared.map(({ key }) => key));
  for (const grant of state.grants.values()) {
    if (grant.key !== undefined && !grant.dropped && !keys.has(grant.key)) retire(grant);
  }
  const fresh: { one: DeclaredGrant; units: GrantedUnit[] }[] = [];
  for (const one of [...declared].sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const { key, user, ask } = one;
    const units = plan.assignment[key] ?? [];
    const now = index.ofKey(key);
    const same = [now, ...index.droppedOf(key)].filter(
      (grant) => grant?.user === user && sameAssignment({ key: grant.units }, { key: units }),
    );
    // Not a new grant that would wait for the key's own container: the one that the container has.
    const back = same.find((grant) => grant?.container !== undefined) ?? same[0];
    if (back) {
      if (now && now !== back) retire(now);
      const { dropped, ...rest } = back;
      if (dropped || JSON.stringify(rest.ask) !== JSON.stringify(ask)) {
        change({ grant: { ...rest, ask }, event: "declared" });
      }
      continue;
    }
    if (state.closed !== undefined) return refuse(closedRefusal(state.closed));
    if (now) retire(now);
    fresh.push({ one, units });
  }
  // All that is given back comes first: what one key gives up, another may get.
  fresh.forEach(({ one, units }, at) => {
    change({ grant: declaredGrant(ctx, one, units, state.nextToken + at), event: "granted" });
  });
  return decide(plan, [...changes, ...reasons(state, changes, after)]);
}

function declaredGrant(
  ctx: Ctx,
  { key, user, ask }: DeclaredGrant,
  units: GrantedUnit[],
  token: number,
): Grant {
  return {
    id: ctx.newId(),
    token,
    user,
    group: ctx.limitsOf(user)?.group ?? "unknown",
    ask,
    units,
    state: "reserved",
    purpose: key,
    key,
    createdAt: ctx.now,
  };
}

/** Who waits for whom once the changes are made. */
function reasons(
  state: LedgerState,
  changes: readonly Change[],
  after: ReadonlyMap<string, Grant>,
): Change[] {
  if (changes.length === 0) return [];
  const grants = new Map(state.grants);
  for (const [id, grant] of after) {
    if (grant.state === "released") grants.delete(id);
    else grants.set(id, grant);
  }
  return reviewed({ ...state, grants, index: undefined }, grants.values());
}

function differences(plan: Assignment, expect: Assignment): string[] {
  const words = (units: GrantedUnit[] | undefined) => units?.map(({ name }) => name).join(", ") ?? "nothing";
  return [...new Set([...Object.keys(plan), ...Object.keys(expect)])]
    .sort()
    .filter((key) => !sameAssignment({ key: plan[key] ?? [] }, { key: expect[key] ?? [] }))
    .map((key) => `${key} had been promised ${words(expect[key])}, and would get ${words(plan[key])}`);
}
