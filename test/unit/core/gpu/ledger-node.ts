import {
  type Ask,
  adopt,
  apply,
  bind,
  type Ctx,
  createState,
  type Decision,
  type Grant,
  type Inventory,
  type InventoryNews,
  type KeptState,
  type LedgerState,
  reserve,
  reviewInventory,
  type SeenContainer,
} from "../../../../core/gpu";
import { gpu, type LimitValues, limits, node } from "../../../lib/core-node";

export const one: Ask = { kind: "mig", count: 1, profile: "1g.10gb" };
export const whole: Ask = { kind: "gpu", count: 1 };
export const inventory = node(gpu(0, { mig: ["1g.10gb", "1g.10gb"] }), gpu(1));

/** A ledger with a clock; every decision is written at once. */
export class Node {
  now = 1_000_000;
  state: KeptState;
  readonly rules = new Map<string, LimitValues>();
  private ids = 0;

  constructor(gpus: Inventory = inventory) {
    this.state = createState(gpus);
  }

  get ctx(): Ctx {
    return {
      now: this.now,
      newId: () => `g${++this.ids}`,
      limitsOf: (user) => (user === "nobody" ? undefined : limits(user, this.rules.get(user))),
      strategy: "least-allocated",
      allowShared: true,
      reserveSeconds: 60,
    };
  }

  /** What is decided is written. */
  done<T>(decide: (state: LedgerState, ctx: Ctx) => Decision<T>): { value: T; events: string[] } {
    const decision = decide(this.state, this.ctx);
    if (!decision.ok) throw new Error(`${decision.refusal.code}: ${decision.refusal.message}`);
    apply(this.state, decision.changes);
    return { value: decision.value, events: decision.changes.map(({ event }) => event) };
  }

  /** What the GPUs are from now on, and what that means for who holds them. */
  gpus(inventory: Inventory): { value: InventoryNews; events: string[] } {
    this.state.inventory = inventory;
    return this.done(reviewInventory);
  }

  refused<T>(decide: (state: LedgerState, ctx: Ctx) => Decision<T>): string {
    const decision = decide(this.state, this.ctx);
    if (decision.ok) throw new Error("not refused");
    const { code, message, rule } = decision.refusal;
    return `${code}: ${message}${rule ? ` (${rule})` : ""}`;
  }

  reserve(user: string, ask: Ask = one, key?: string): Grant {
    return this.done((state, ctx) => reserve(state, ctx, { user, ask, purpose: "job", key })).value;
  }

  /** A grant with its container. */
  run(user: string, container: string, ask: Ask = one): Grant {
    const { id, token } = this.reserve(user, ask);
    return this.done((state, ctx) => bind(state, ctx, { id, token, container })).value;
  }

  live(): string[] {
    return [...this.state.grants.values()].map(({ id, state, units }) => `${id} ${state} ${units[0]?.name}`);
  }

  seen(containers: SeenContainer[], complete = true) {
    return this.done((state, ctx) => adopt(state, ctx, containers, { complete }));
  }
}
