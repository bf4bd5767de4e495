/** Keeps the pools of the templates: makes containers in the background, waits until they are ready, and takes away what is too old. */
import type { Refusal } from "../../../core/gpu";
import {
  afterFailure,
  type BackOff,
  capacity,
  claimable,
  needOf,
  type PoolContainer,
  type PoolPlan,
  planPool,
  sizeAt,
  type Template,
  templateHash,
} from "../../../core/manager";
import type { ManagerConfig } from "../config";
import type { Containers, Log } from "../containers";
import type { Engine } from "../docker";
import { pause } from "../waiting";
import type { Book, ManagedRow } from "./book";
import type { Images } from "./images";
import type { Maker } from "./maker";
import { wantedOfTemplate } from "./request";

export interface PoolOptions {
  book: Book;
  maker: Maker;
  images: Images;
  containers: Pick<Containers, "get">;
  engine: Pick<Engine, "exec">;
  probeEnv?(): Readonly<Record<string, string>>;
  config(): ManagerConfig | undefined;
  log: Log;
  now(): number;
}

export interface PoolView {
  template: string;
  image: string;
  target: number;
  min: number;
  ready: number;
  /** Made or still without a passed health check. */
  warming: number;
  /** What keeps it from being filled. */
  problem?: string;
}

/** The pools are looked at so often at least: a container may end by itself. */
const LOOK_MS = 15_000;
const SOONEST_MS = 20;
/** From a claim until what it took is made again: claims that come together are answered before Docker has its hands full. */
const REFILL_MS = 100;
const FIRST_PROBE_MS = 250;
const LONGEST_PROBE_MS = 2000;
/** One run of a health command, at most. */
const PROBE_MS = 30_000;

interface Version {
  /** The template as it was, in one spelling. */
  text: string;
  hash: string;
}

export class PoolKeeper {
  private readonly versions = new Map<string, Version>();
  private readonly backOffs = new Map<string, BackOff>();
  private readonly problems = new Map<string, string>();
  /** Containers that are being made, by template. */
  private readonly making = new Map<string, number>();
  private readonly work = new Set<Promise<unknown>>();
  private readonly probed = new Set<string>();
  private readonly ended = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private refilling: NodeJS.Timeout | undefined;
  private planning: Promise<void> | undefined;
  private again = false;
  private started = false;

  constructor(private readonly options: PoolOptions) {}

  /** Nothing is made before: what an earlier berthd left has to be known. */
  start(): void {
    this.started = true;
    this.planSoon();
  }

  async close(): Promise<void> {
    this.ended.abort();
    clearTimeout(this.timer);
    clearTimeout(this.refilling);
    await this.planning;
    await Promise.allSettled(this.work);
  }

  /** Something has changed; calls of one moment share a plan. */
  planSoon(): void {
    if (!this.started || this.ended.signal.aborted) return;
    if (this.planning !== undefined) {
      this.again = true;
      return;
    }
    clearTimeout(this.timer);
    this.planning = this.plan()
      .catch((error: unknown) => {
        this.options.log.warn({ error: (error as Error).message }, "the pools could not be looked after");
        return LOOK_MS;
      })
      .then((wait) => {
        this.planning = undefined;
        if (this.ended.signal.aborted) return;
        this.timer = setTimeout(() => this.planSoon(), this.again ? SOONEST_MS : wait).unref();
        this.again = false;
      });
  }

  /** One was claimed. */
  refill(): void {
    if (this.ended.signal.aborted) return;
    this.refilling ??= setTimeout(() => {
      this.refilling = undefined;
      this.planSoon();
    }, REFILL_MS).unref();
  }

  /** What is wrong with the pools, for `health`. */
  get broken(): string[] {
    return [...this.problems].map(([template, why]) => `pool ${template}: ${why}`);
  }

  view(): PoolView[] {
    return this.templates().map((template) => {
      const rows = this.options.book.pool(template.name);
      const problem = this.problems.get(template.name);
      const { target, min } = sizeAt(template, this.options.now());
      return {
        template: template.name,
        image: template.image,
        // One with GPUs gets them when it is claimed, and is made then.
        ...(template.gpus === undefined ? { target, min } : { target: 0, min: 0 }),
        ready: this.standing(template).length,
        warming: rows.filter(({ state }) => state === "making" || state === "warming").length,
        ...(problem !== undefined && { problem }),
      };
    });
  }

  /** The container that a claim of the template gets now; undefined: none is ready. */
  next(template: Template): ManagedRow | undefined {
    const rows = this.standing(template);
    const found = claimable(rows.flatMap(seen), this.versions.get(template.name)?.hash ?? "");
    return rows.find(({ id }) => id === found?.id);
  }

  /** Those that a claim could get: of the template as it is now, and seen to run since berthd began. */
  private standing(template: Template): ManagedRow[] {
    const version = this.versions.get(template.name);
    if (version?.text !== textOf(template)) return [];
    return this.options.book
      .pool(template.name)
      .filter((row) => row.state === "ready" && row.hash === version.hash && this.runs(row) === true);
  }

  private templates(): readonly Template[] {
    return this.options.config()?.templates ?? [];
  }

  /** Undefined: nobody has looked yet. */
  private runs({ container }: ManagedRow): boolean | undefined {
    const record = this.options.containers.get(container ?? "");
    return record && record.state === "running";
  }

  /** @returns milliseconds until it is to be done again */
  private async plan(): Promise<number> {
    const { book, now } = this.options;
    const templates = this.templates();
    const names = new Set(templates.map(({ name }) => name));
    for (const { id, owner, state, template = "" } of book.all())
      if (owner === undefined && state !== "leaving" && !names.has(template)) this.remove(id);
    for (const name of this.problems.keys()) if (!names.has(name)) this.problems.delete(name);
    const plans: { template: Template; plan: PoolPlan; hash: string }[] = [];
    for (const template of templates) {
      const hash = await this.version(template);
      if (hash !== undefined) plans.push({ template, hash, plan: this.planOf(template, hash) });
    }
    for (const { plan } of plans) for (const id of plan.remove) this.remove(id);
    plans.sort((a, b) => Number(b.plan.urgent) - Number(a.plan.urgent));
    for (const { template, hash } of plans) {
      // Others of this round may have taken the room.
      const { create } = this.planOf(template, hash);
      for (let n = 0; n < create; n++) this.begin(template, hash);
      this.probe(template);
    }
    const next = Math.min(...plans.map(({ plan }) => plan.nextLook ?? Number.POSITIVE_INFINITY));
    return Math.max(SOONEST_MS, Math.min(LOOK_MS, next - now()));
  }

  private planOf(template: Template, hash: string): PoolPlan {
    const { book, maker, now } = this.options;
    const rows = book.pool(template.name);
    const old = rows.filter(({ state, id }) => state === "making" && !maker.isAt(id)).length;
    const room = capacity(maker.room(), [{ name: template.name, ...needOf(template) }]).templates[0]?.more;
    const backOff = this.backOffs.get(template.name);
    const plan = planPool({
      template:
        template.gpus === undefined ? template : { ...template, targetSize: 0, minSize: 0, schedule: [] },
      hash,
      containers: rows.filter((row) => this.runs(row) !== false).flatMap(seen),
      creating: old + (this.making.get(template.name) ?? 0),
      ...(room !== undefined && { room }),
      ...(backOff !== undefined && { backOff }),
      now: now(),
    });
    const dead = rows
      .filter((row) => row.state !== "leaving" && this.runs(row) === false)
      .map(({ id }) => id);
    return { ...plan, remove: [...plan.remove, ...dead] };
  }

  /** Undefined: its image is not there now. */
  private async version(template: Template): Promise<string | undefined> {
    const text = textOf(template);
    const { image } = wantedOfTemplate(template);
    const guess = templateHash(template);
    if (this.waits(template.name, guess)) return undefined;
    try {
      const id = await this.options.images.resolve(image);
      if (!id.ok) {
        this.failed(template.name, guess, id.refusal);
        return undefined;
      }
      const hash = templateHash(template, id.value);
      this.versions.set(template.name, { text, hash });
      if (this.backOffs.get(template.name)?.hash === guess && guess !== hash) this.mended(template.name);
      return hash;
    } catch (error) {
      // dockerd does not answer, of which berthd tells elsewhere.
      this.options.log.warn(
        { template: template.name, error: (error as Error).message },
        "an image could not be looked for",
      );
      return undefined;
    }
  }

  private waits(name: string, hash: string): boolean {
    const backOff = this.backOffs.get(name);
    return backOff?.hash === hash && backOff.until > this.options.now();
  }

  private failed(name: string, hash: string, why: Pick<Refusal, "message">): void {
    const { log, now } = this.options;
    if (this.ended.signal.aborted) return;
    const backOff = afterFailure(this.backOffs.get(name), hash, now());
    this.backOffs.set(name, backOff);
    this.problems.set(name, why.message);
    log.warn(
      { template: name, failures: backOff.failures, reason: why.message },
      "a pool could not be filled; tried again later",
    );
  }

  private begin(template: Template, hash: string): void {
    const { name } = template;
    const count = (more: number) => this.making.set(name, (this.making.get(name) ?? 0) + more);
    count(1);
    this.track(
      this.options.maker
        .make(wantedOfTemplate(template), { hash, actor: "manager" }, this.ended.signal)
        .then((made) => {
          // A node that is full is none that is broken, and dockerd that is away is not the image's fault.
          if (!made.ok && !["full", "closed"].includes(made.refusal.code))
            this.failed(name, hash, made.refusal);
          return made.ok;
        })
        .catch((error: unknown) => {
          this.failed(name, hash, error as Error);
          return false;
        })
        .then((made) => {
          count(-1);
          if (made) this.planSoon();
        }),
    );
  }

  /** Waits for each that runs and is not ready. */
  private probe(template: Template): void {
    for (const row of this.options.book.pool(template.name)) {
      if (row.state !== "warming" || this.probed.has(row.id)) continue;
      this.probed.add(row.id);
      const over = () => this.probed.delete(row.id);
      this.track(this.warm(row, template).finally(over));
    }
  }

  private async warm(row: ManagedRow, { name, health }: Template): Promise<void> {
    const why = health === undefined ? undefined : await this.wait(row, health);
    if (this.ended.signal.aborted) return;
    const { maker } = this.options;
    if (why !== undefined) {
      if (this.options.book.get(row.id)?.state !== "warming") return;
      this.failed(name, row.hash ?? "", { message: why });
      this.remove(row.id);
      return;
    }
    const ready = await maker.change(row.id, (now) =>
      now.state === "warming" ? { ...now, state: "ready" } : now,
    );
    if (!ready.ok) return;
    this.mended(name);
    this.planSoon();
  }

  private mended(name: string): void {
    this.backOffs.delete(name);
    this.problems.delete(name);
  }

  /** Undefined: its health command passed; else why not. */
  private async wait(
    { id, container = "", ranAt, createdAt }: ManagedRow,
    { command, timeoutSeconds }: NonNullable<Template["health"]>,
  ): Promise<string | undefined> {
    const { engine, now, book, probeEnv } = this.options;
    const env = probeEnv?.();
    const probe = { argv: command, ...(env !== undefined && { env }) };
    const { signal } = this.ended;
    const until = (ranAt ?? createdAt) + timeoutSeconds * 1000;
    let said = "";
    for (
      let wait = FIRST_PROBE_MS;
      !signal.aborted && book.get(id)?.state === "warming";
      wait = Math.min(2 * wait, LONGEST_PROBE_MS)
    ) {
      try {
        const timeoutMs = Math.max(1000, Math.min(PROBE_MS, until - now()));
        const ran = await engine.exec(container, probe, { timeoutMs, maxBytes: 4096, signal });
        if (ran.exitCode === 0 && !ran.timedOut) return undefined;
        said = ran.timedOut ? "it did not end" : `it ended with ${ran.exitCode}`;
      } catch (error) {
        said = (error as Error).message;
      }
      if (now() >= until) break;
      await pause(wait, signal);
    }
    return `the health command did not pass within ${timeoutSeconds} s: ${said}`;
  }

  /** One that nobody has; who claimed it in this moment keeps it. */
  private remove(id: string): void {
    const { maker, log } = this.options;
    this.track(
      maker
        .dispose(id, ({ owner }) => owner === undefined)
        .then((gone) => {
          if (!gone.ok && gone.refusal.code !== "not-found")
            log.warn(
              { managed: id, reason: gone.refusal.message },
              "a container of the pool could not be removed; tried again later",
            );
        })
        .then(() => this.planSoon()),
    );
  }

  private track(work: Promise<unknown>): void {
    const done = work
      .catch((error: unknown) => {
        this.options.log.warn({ error: (error as Error).message }, "a pool could not be looked after");
      })
      .finally(() => this.work.delete(done));
    this.work.add(done);
  }
}

const textOf = (template: Template) => JSON.stringify(template);

/** Rows that run, as the plan sees them. */
function seen({ id, hash = "", state, ranAt, createdAt }: ManagedRow): PoolContainer[] {
  return state === "warming" || state === "ready" ? [{ id, hash, state, createdAt: ranAt ?? createdAt }] : [];
}
