/** A node in memory: containers, a database, a clock, hardware that changes. Driven by numbers, judged by the checker. */

import type { Ask, Change, Ctx, Decision, DeclaredGrant, Grant, Inventory } from "../../../../core/gpu";
import * as core from "../../../../core/gpu";
import { gpu, type LimitValues, limits, node } from "../../../lib/core-node";
import { Checker } from "./checker";

/** What a history calls: the ledger itself, or one with a planted bug. */
export type Ledger = Pick<
  typeof core,
  | "createState"
  | "apply"
  | "reserve"
  | "bind"
  | "bindOwn"
  | "unbind"
  | "containerStarted"
  | "containerStopped"
  | "containerGone"
  | "release"
  | "tick"
  | "reviewInventory"
  | "adopt"
  | "applyDeclared"
>;

/** One step: what, and two numbers to choose with. */
export type Step = readonly [what: number, a: number, b: number];

interface Container {
  id: string;
  user: string;
  units: string[];
  shareMiB?: number;
  grant?: string;
  token?: number;
  running: boolean;
}

const users = ["alice", "bob", "carol", "dave"];
const layouts = [
  ["1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb"],
  ["3g.40gb", "3g.40gb"],
  ["2g.20gb", "2g.20gb", "1g.10gb", "1g.10gb"],
];
const asks: Ask[] = [
  { kind: "gpu", count: 1 },
  { kind: "gpu", count: 2 },
  { kind: "mig", count: 1 },
  { kind: "mig", count: 1, profile: "1g.10gb" },
  { kind: "mig", count: 2, profile: "1g.10gb", strategy: "spread" },
  { kind: "mig", count: 1, profile: "3g.40gb" },
  { kind: "mig", count: 2, profile: "2g.20gb", strategy: "pack" },
  { kind: "share", count: 1, memoryMiB: 30_000 },
  { kind: "share", count: 1, memoryMiB: 50_000, strategy: "pack" },
];

export class History {
  private now = 1_700_000_000_000;
  private ids = 0;
  private readonly rows = new Map<string, Grant>();
  private floor = 1;
  private readonly containers = new Map<string, Container>();
  private readonly hardware = [0, 1, 2, 3, 4].map(() => ({ there: true, bad: false, layout: 0, made: 0 }));
  private readonly rules = new Map<string, LimitValues>(users.map((user) => [user, {}]));
  private state: core.KeptState;
  readonly checker: Checker;

  constructor(private readonly ledger: Ledger) {
    const inventory = this.look();
    this.state = ledger.createState(inventory);
    this.rules.set("alice", { max_mig_instances: 2, allow_full_gpu: false });
    this.rules.set("bob", { max_mig_instances: 3, max_gpus_per_container: 1, max_containers_per_user: 2 });
    this.checker = new Checker(inventory, (user) => {
      const rule = this.rules.get(user) ?? {};
      return {
        units: rule.max_mig_instances ?? null,
        perContainer: rule.max_gpus_per_container ?? null,
        containers: rule.max_containers_per_user ?? null,
        wholeGpus: rule.allow_full_gpu ?? true,
      };
    });
  }

  run(steps: readonly Step[]): void {
    steps.forEach((step, at) => {
      this.step(step);
      if (at % 16 === 0) this.probe();
    });
    this.drain();
  }

  private step([what, a, b]: Step): void {
    const kind = what % 40;
    if (kind < 10) this.reserve(a, b);
    else if (kind < 14) this.launch(a, b);
    else if (kind < 16) this.use(a, b);
    else if (kind < 19) this.stop(a, b);
    else if (kind < 21) this.startAgain(a);
    else if (kind < 24) this.remove(a, b);
    else if (kind < 26) this.release(a, b);
    else if (kind < 28) this.pass(a);
    else if (kind < 30) this.crash(a, b);
    else if (kind < 32) this.change(a, b);
    else if (kind < 33) this.limit(a, b);
    else if (kind < 35) this.pool(a, b);
    else if (kind < 38) this.declaredContainer(a);
    else if (kind < 39) this.stranger(a, b);
    else this.reconcile();
  }

  private get ctx(): Ctx {
    return {
      now: this.now,
      newId: () => `g${++this.ids}`,
      limitsOf: (user) => {
        const rule = this.rules.get(user);
        return rule && limits(user, rule);
      },
      strategy: "least-allocated",
      allowShared: true,
    };
  }

  /** What the driver shows now. */
  private look(): Inventory {
    const link = (index: number, other: number) => gpu(index, { nvlink: [`GPU-${other}`] });
    const mig = (index: number) => {
      const { layout, made } = this.hardware[index] ?? { layout: 0, made: 0 };
      const one = gpu(index, { mig: layouts[layout] });
      return { ...one, instances: one.instances.map((each) => ({ ...each, uuid: `${each.uuid}-${made}` })) };
    };
    const gpus = [link(0, 1), link(1, 0), gpu(2), mig(3), mig(4)].flatMap((one, at) => {
      const { there, bad } = this.hardware[at] ?? {};
      if (!there) return [];
      return [bad ? { ...one, quarantined: "Xid 79" } : one];
    });
    return node(...gpus);
  }

  /** Writes what was decided, then makes it so. */
  private commit<T>(decision: Decision<T>, by: "ask" | "pool" | "adopt" = "ask"): T | undefined {
    if (!decision.ok) return undefined;
    this.write(decision.changes, by);
    this.ledger.apply(this.state, decision.changes);
    return decision.value;
  }

  private write(changes: readonly Change[], by: "ask" | "pool" | "adopt" = "ask"): void {
    this.checker.written(changes, by);
    for (const { grant } of changes) this.rows.set(grant.id, grant);
  }

  private reserve(a: number, b: number): void {
    const user = pick(users, a);
    const ask = pick(asks, b);
    if (!user || !ask) return;
    const decision = this.ledger.reserve(this.state, this.ctx, { user, ask, purpose: "job" });
    // Now and then the daemon dies before it could write: nobody was told, so nothing was granted.
    if (a % 50 === 7) this.restart();
    else this.commit(decision);
  }

  /** Makes the container of a reservation; `b` says where the daemon dies, if it does. */
  private launch(a: number, b: number): void {
    const grant = pick(
      this.grants((one) => one.state === "reserved" && one.key === undefined),
      a,
    );
    if (!grant) return;
    const container = this.create(grant, { grant: grant.id, token: grant.token });
    if (b % 20 === 0) {
      this.restart();
      return;
    }
    const { id, token } = grant;
    const bound = this.ledger.bind(this.state, this.ctx, { id, token, container: container.id });
    if (!bound.ok) {
      this.end(container);
      return;
    }
    if (b % 20 === 1) this.write(bound.changes);
    if (b % 20 === 1 || b % 20 === 2) this.restart();
    else this.commit(bound);
  }

  /** A person's own grant, held ones too, in a container that starts once it is bound, or never. */
  private use(a: number, b: number): void {
    const usable = this.grants(({ state, key }) => key === undefined && ["reserved", "held"].includes(state));
    const grant = pick(usable, a);
    if (!grant) return;
    const { id, user, token } = grant;
    const container = `c${this.ids + 1}`;
    const bound = this.commit(this.ledger.bindOwn(this.state, this.ctx, { id, user, container }));
    if (!bound) return;
    if (b % 5 === 0) {
      this.commit(this.ledger.unbind(this.state, this.ctx, { id, container }));
      return;
    }
    this.create(bound, { grant: id, token });
    this.commit(this.ledger.containerStarted(this.state, this.ctx, { container }));
  }

  private create(grant: Grant, labels: { grant: string; token?: number }): Container {
    const [unit] = grant.units;
    const container: Container = {
      id: `c${++this.ids}`,
      user: grant.user,
      units: grant.units.map(({ uuid }) => uuid),
      ...(unit?.shared ? { shareMiB: unit.memoryMiB } : {}),
      ...labels,
      running: true,
    };
    this.containers.set(container.id, container);
    this.checker.started(container.id, container.units);
    return container;
  }

  private end(container: Container): void {
    this.containers.delete(container.id);
    this.checker.stopped(container.id);
  }

  private stop(a: number, b: number): void {
    const container = pick(
      this.those(({ running }) => running),
      a,
    );
    if (!container) return;
    container.running = false;
    this.checker.stopped(container.id);
    // Docker's word may be missed.
    if (b % 8 > 0) this.commit(this.ledger.containerStopped(this.state, this.ctx, container.id));
  }

  private startAgain(a: number): void {
    const container = pick(
      this.those(({ running }) => !running),
      a,
    );
    if (!container) return;
    const { id, grant, token, units } = container;
    const started = this.ledger.containerStarted(this.state, this.ctx, {
      container: id,
      grant,
      token,
      units,
    });
    // Its grant is over: the daemon does not let it run.
    if (!started.ok) return;
    container.running = true;
    this.checker.started(id, units);
    this.commit(started);
  }

  private remove(a: number, b: number): void {
    const container = pick([...this.containers.values()], a);
    if (!container) return;
    this.end(container);
    if (b % 8 > 0) this.commit(this.ledger.containerGone(this.state, this.ctx, container.id));
  }

  private release(a: number, b: number): void {
    const grant = pick(
      this.grants(() => true),
      a,
    );
    if (!grant) return;
    const force = b % 4 === 0 && grant.key === undefined;
    const container = grant.container === undefined ? undefined : this.containers.get(grant.container);
    if (force && container) this.end(container);
    this.commit(this.ledger.release(this.state, this.ctx, grant.id, "asked for", force));
  }

  private pass(a: number): void {
    this.now += (a % 1200) * 1000;
    this.commit(this.ledger.tick(this.state, this.ctx));
  }

  private crash(a: number, b: number): void {
    if (b % 12 === 0) {
      this.rows.clear();
      this.floor = this.now;
      this.now += 1000;
      this.checker.databaseLost();
    } else if (a % 3 === 0) {
      // What happened while nobody looked.
      const container = pick([...this.containers.values()], b);
      if (container) this.end(container);
    }
    this.restart();
  }

  private restart(): void {
    const inventory = this.look();
    this.state = this.ledger.createState(inventory, this.rows.values(), { nextToken: this.floor });
    this.commit(this.ledger.reviewInventory(this.state));
    this.reconcile();
  }

  private reconcile(): void {
    const seen = [...this.containers.values()].map(({ id, ...rest }) => ({ container: id, ...rest }));
    this.commit(this.ledger.adopt(this.state, this.ctx, seen), "adopt");
  }

  private change(a: number, b: number): void {
    const at = a % this.hardware.length;
    const one = this.hardware[at];
    if (!one) return;
    if (b % 3 === 0) one.there = !one.there;
    else if (b % 3 === 1) one.bad = !one.bad;
    else if (at >= 3) {
      one.layout = b % layouts.length;
      one.made += 1;
    }
    const inventory = this.look();
    this.checker.inventory(inventory);
    this.state.inventory = inventory;
    this.commit(this.ledger.reviewInventory(this.state));
  }

  private limit(a: number, b: number): void {
    const user = pick(users, a);
    if (!user) return;
    this.rules.set(user, {
      max_mig_instances: pick([0, 1, 2, 3, 4, null], b),
      max_gpus_per_container: pick([1, 2, null], b >> 3),
      max_containers_per_user: pick([1, 2, 3, null], b >> 5),
      allow_full_gpu: (b >> 7) % 2 === 0,
      gpu_hold_after_stop: pick([0, 60, 900, null], b >> 8),
    });
  }

  private pool(a: number, b: number): void {
    const declared = users.flatMap((user, at): DeclaredGrant[] => {
      const ask = pick(asks, (b >> (at * 2)) + at * 3);
      return ask && (a >> at) % 2 === 0 ? [{ key: `workspace/${user}`, user, ask }] : [];
    });
    const first = this.ledger.applyDeclared(this.state, this.ctx, { declared });
    if (!first.ok) return;
    // As `up` does after its preview: exactly what was shown.
    const expect = first.value.assignment;
    const second = this.ledger.applyDeclared(this.state, this.ctx, { declared, expect });
    if (!second.ok) throw new Error(`a preview did not hold: ${second.refusal.message}`);
    this.commit(second, "pool");
  }

  private declaredContainer(a: number): void {
    const waiting = (one: Grant) => one.key !== undefined && !one.dropped && one.container === undefined;
    const grant = pick(this.grants(waiting), a);
    if (grant?.key === undefined) return;
    const labels = { grant: grant.key };
    const units = grant.units.map(({ uuid }) => uuid);
    const id = `c${this.ids + 1}`;
    const started = this.ledger.containerStarted(this.state, this.ctx, { container: id, ...labels, units });
    if (!started.ok) return;
    this.create(grant, labels);
    this.commit(started);
  }

  /** A container that somebody made by hand, with a GPU that may be in use. */
  private stranger(a: number, b: number): void {
    const units = [...core.unitsNamed(this.look()).values()];
    const unit = pick(units, a);
    if (!unit || b % 3 > 0) return;
    const container = { id: `c${++this.ids}`, user: "mallory", units: [unit.uuid], running: true };
    this.containers.set(container.id, container);
    this.checker.started(container.id, container.units);
    this.reconcile();
  }

  /** Tries each unit, as one without limits would. */
  private probe(): void {
    const ctx: Ctx = { ...this.ctx, newId: () => "probe", limitsOf: (user) => limits(user) };
    const grantable = new Set<string>();
    for (const { uuid, gpu: parent } of core.unitsNamed(this.state.inventory).values()) {
      const ask: Ask = { kind: uuid === parent ? "gpu" : "mig", count: 1, pins: [uuid] };
      const decision = this.ledger.reserve(this.state, ctx, { user: "probe", ask, purpose: "probe" });
      if (decision.ok) grantable.add(uuid);
    }
    this.checker.checkFree(grantable);
  }

  /** Everything ends: whatever is held after that is lost. */
  private drain(): void {
    for (const container of [...this.containers.values()]) {
      this.end(container);
      this.commit(this.ledger.containerGone(this.state, this.ctx, container.id));
    }
    this.reconcile();
    this.commit(this.ledger.applyDeclared(this.state, this.ctx, { declared: [] }), "pool");
    for (const grant of this.grants(({ heldUntil }) => heldUntil === null)) {
      this.commit(this.ledger.release(this.state, this.ctx, grant.id));
    }
    this.now += 3_600_000;
    this.commit(this.ledger.tick(this.state, this.ctx));
    this.checker.checkEmpty();
    this.probe();
  }

  private grants(wanted: (grant: Grant) => boolean): Grant[] {
    return [...this.state.grants.values()].filter(wanted);
  }

  private those(wanted: (container: Container) => boolean): Container[] {
    return [...this.containers.values()].filter(wanted);
  }
}

function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % items.length];
}
