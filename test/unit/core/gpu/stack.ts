import {
  type Ask,
  type Assignment,
  apply,
  applyDeclared,
  type Ctx,
  containerStarted,
  createState,
  type Decision,
  type DeclaredGrant,
  type DeclaredPlan,
  type Grant,
  type Inventory,
  type KeptState,
  planDeclared,
} from "../../../../core/gpu";
import { gpu, type LimitValues, limits, node } from "../../../lib/core-node";

export const one: Ask = { kind: "mig", count: 1, profile: "1g.10gb" };
export const four = node(gpu(0, { mig: ["1g.10gb", "1g.10gb"] }), gpu(1, { mig: ["1g.10gb", "1g.10gb"] }));
export const key = (user: string, ask: Ask = one): DeclaredGrant => ({ key: `workspace/${user}`, user, ask });

/** A node with its ledger, and a stack that declares. */
export class Stack {
  readonly rules = new Map<string, LimitValues>();
  readonly state: KeptState;
  private ids = 0;

  constructor(inventory: Inventory = four) {
    this.state = createState(inventory);
  }

  get ctx(): Ctx {
    return {
      now: 1000,
      newId: () => `g${++this.ids}`,
      limitsOf: (user) => (user === "nobody" ? undefined : limits(user, this.rules.get(user))),
      strategy: "least-allocated",
      allowShared: true,
    };
  }

  plan(declared: readonly DeclaredGrant[], previous?: Assignment): DeclaredPlan {
    const { strategy, allowShared, limitsOf } = this.ctx;
    const { inventory } = this.state;
    const grants = [...this.state.grants.values()];
    return planDeclared({ inventory, grants, declared, limitsOf, strategy, allowShared, previous });
  }

  done<T>(decision: Decision<T>): T {
    if (!decision.ok) throw new Error(`${decision.refusal.code}: ${decision.refusal.message}`);
    apply(this.state, decision.changes);
    return decision.value;
  }

  up(...declared: DeclaredGrant[]): DeclaredPlan {
    return this.done(applyDeclared(this.state, this.ctx, { declared }));
  }

  start(user: string): void {
    const grant = `workspace/${user}`;
    this.done(containerStarted(this.state, this.ctx, { container: `c-${user}`, grant }));
  }

  grant(user: string): Grant | undefined {
    return [...this.state.grants.values()].find((each) => each.key === `workspace/${user}` && !each.dropped);
  }
}

export const names = (assignment: Assignment) =>
  Object.fromEntries(
    Object.entries(assignment).map(([each, units]) => [
      each.replace("workspace/", ""),
      units.map(({ name }) => name).join(" "),
    ]),
  );
