import {
  afterFailure,
  type BackOff,
  claimable,
  type PoolContainer,
  type PoolInput,
  planPool,
} from "../../../../core/manager";

/** Kind and two numbers, which the kind reads as it likes. */
export type Step = [kind: number, a: number, b: number];
export type Planner = (input: PoolInput) => ReturnType<typeof planPool>;

type Template = PoolInput["template"];

/**
 * A pool as berthd drives it: creations that end in any order or fail, health checks, claims, edits of the template, a node
 * with more or less room. After each step the plan is made and carried out, and both are judged.
 */
export class PoolHistory {
  now = 1_790_000_000_000;
  claims = 0;
  /** Containers that were removed because of their age. */
  replaced = 0;
  private ids = 0;
  private edits = 0;
  private hash = "h0";
  private template: Template = {
    targetSize: 3,
    minSize: 1,
    maxCreating: 2,
    ttlSeconds: 600,
    schedule: [],
    timeZone: "UTC",
  };
  private room = 10;
  private containers: PoolContainer[] = [];
  private creating: string[] = [];
  private backOff: BackOff | undefined;
  /** What the judge itself knows of failures: when nothing may be begun. */
  private failed = { hash: "", streak: 0, until: 0 };

  constructor(private readonly planner: Planner = planPool) {}

  run(steps: readonly Step[]): void {
    for (const [kind, a, b] of steps) {
      this.act(kind % 12, a, b);
      // Several things may happen before the next look.
      if (b % 4 !== 0) this.look();
    }
    this.settle();
  }

  /** From now on all goes well: the pool comes to its target, and stays there. */
  settle(): void {
    this.room = 1000;
    for (let turns = 0; turns < 200; turns += 1) {
      const next = this.look();
      if (this.isAtRest()) return;
      if (this.creating.length > 0) this.created(0);
      else if (this.warming().length > 0) this.healthy(0);
      else this.now = next ?? this.fail("there is nothing to wait for, and the pool is not at its target");
    }
    this.fail(`the pool of ${this.template.targetSize} does not fill`);
  }

  private isAtRest(): boolean {
    const { targetSize } = this.template;
    return (
      this.creating.length === 0 &&
      this.ready().length === targetSize &&
      this.containers.length === targetSize
    );
  }

  private act(kind: number, a: number, b: number): void {
    if (kind <= 1) this.now += a % 20_000;
    else if (kind === 2) this.now += a * 20;
    else if (kind <= 4) this.claim();
    else if (kind <= 6) this.created(a);
    else if (kind === 7) this.notCreated(a);
    else if (kind <= 9) this.healthy(a);
    else if (kind === 10) this.unhealthy(a);
    else this.edit(a, b);
  }

  private claim(): void {
    const one = claimable(this.containers, this.hash);
    if (!one) return;
    if (one.state !== "ready" || one.hash !== this.hash) this.fail(`${one.id} is handed out`);
    this.containers = this.containers.filter(({ id }) => id !== one.id);
    this.claims += 1;
  }

  private created(a: number): void {
    const [hash] = this.creating.splice(a % Math.max(1, this.creating.length), 1);
    if (hash === undefined) return;
    this.ids += 1;
    this.containers.push({ id: `c${this.ids}`, hash, state: "warming", createdAt: this.now });
  }

  private notCreated(a: number): void {
    const [hash] = this.creating.splice(a % Math.max(1, this.creating.length), 1);
    if (hash !== undefined) this.failure(hash);
  }

  private healthy(a: number): void {
    const one = pick(this.warming(), a);
    if (!one) return;
    one.state = "ready";
    if (this.backOff?.hash === one.hash) this.backOff = undefined;
    if (this.failed.hash === one.hash) this.failed = { hash: "", streak: 0, until: 0 };
  }

  private unhealthy(a: number): void {
    const one = pick(this.warming(), a);
    if (!one) return;
    this.containers = this.containers.filter(({ id }) => id !== one.id);
    this.failure(one.hash);
  }

  private failure(hash: string): void {
    // One of an older template is no news of this one.
    if (hash !== this.hash) return;
    this.backOff = afterFailure(this.backOff, hash, this.now);
    if (this.failed.hash === hash && this.now < this.failed.until) return;
    const streak = this.failed.hash === hash ? this.failed.streak + 1 : 1;
    const seconds = [5, 10, 20, 40, 80, 160][streak - 1] ?? 300;
    this.failed = { hash, streak, until: this.now + seconds * 1000 };
  }

  private edit(a: number, b: number): void {
    if (b % 3 === 0) {
      this.edits += 1;
      this.hash = `h${this.edits}`;
    } else if (b % 3 === 1) {
      const targetSize = a % 7;
      this.template = {
        ...this.template,
        targetSize,
        minSize: Math.min(targetSize, b % 5),
        maxCreating: 1 + (b % 4),
        ttlSeconds: a % 2 === 0 ? 60 + (b % 600) : undefined,
      };
    } else this.room = a % 8;
  }

  /** Plans, judges the plan and carries it out. */
  private look(): number | undefined {
    const before = this.containers;
    const plan = this.plan();
    const gone = new Set(plan.remove);
    for (const id of gone) if (!before.some((one) => one.id === id)) this.fail(`${id} is not in the pool`);
    this.containers = before.filter(({ id }) => !gone.has(id));
    this.judgeRemovals(before);
    this.judgeCreations(plan.create);
    if (plan.urgent !== this.ready().length < this.min()) this.fail(`urgent: ${plan.urgent}`);
    if (plan.nextLook !== undefined && plan.nextLook <= this.now) this.fail("the next look is over");
    this.creating.push(...Array<string>(plan.create).fill(this.hash));
    this.room -= plan.create;
    const again = this.plan();
    if (again.create > 0 || again.remove.length > 0) this.fail("the second look at the same pool wants more");
    this.room += plan.create;
    return again.nextLook;
  }

  private plan() {
    const { template, hash, containers, room, backOff, now } = this;
    const creating = this.creating.length;
    return this.planner({
      template,
      hash,
      containers: containers.map((one) => ({ ...one })),
      creating,
      room,
      backOff,
      now,
    });
  }

  private judgeRemovals(before: readonly PoolContainer[]): void {
    const { targetSize } = this.template;
    const old = this.containers.find(({ hash }) => hash !== this.hash);
    if (old) this.fail(`${old.id} is of an older template`);
    if (this.containers.length > targetSize)
      this.fail(`${this.containers.length} are more than ${targetSize}`);
    // As many of its own stay as there are places, but for those that are too old.
    const own = before.filter(({ hash }) => hash === this.hash);
    const least = Math.min(this.min(), targetSize - 1);
    const removed = own.filter((one) => !this.containers.includes(one));
    const aged = removed.filter((one) => this.isTooOld(one));
    this.replaced += aged.length;
    if (removed.length - aged.length > Math.max(0, own.length - targetSize))
      this.fail("one too many is removed");
    if (removed.some(({ state }) => state === "ready") && this.ready().length < least)
      this.fail(`no more than ${this.ready().length} ready ones are left`);
    const stays = this.ready().find((one) => this.isTooOld(one));
    if (stays && this.ready().length > least) this.fail(`${stays.id} is too old`);
  }

  private judgeCreations(create: number): void {
    if (!Number.isInteger(create) || create < 0) this.fail(`${create} to be made`);
    if (create === 0) return;
    const underWay = create + this.creating.length + this.warming().length;
    if (underWay > this.template.maxCreating) this.fail(`${underWay} are being made at a time`);
    const all = create + this.creating.length + this.containers.length;
    if (all > this.template.targetSize) this.fail(`${all} come to more than ${this.template.targetSize}`);
    if (create > this.room) this.fail(`${create} are made, and ${this.room} have room`);
    if (this.failed.hash === this.hash && this.now < this.failed.until)
      this.fail("one is made while the pool waits");
  }

  private isTooOld = ({ state, createdAt }: PoolContainer) =>
    state === "ready" &&
    this.template.ttlSeconds !== undefined &&
    this.now - createdAt >= this.template.ttlSeconds * 1000;
  private min = () => Math.min(this.template.minSize, this.template.targetSize);
  private ready = () => this.containers.filter(({ state }) => state === "ready");
  private warming = () => this.containers.filter(({ state }) => state === "warming");

  private fail(what: string): never {
    throw new Error(`judge: ${what}`);
  }
}

const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)];
