/** Containers of tenants: made or taken from a pool, each its owner's alone, found again by the next berthd. */
import { type Result, refuse } from "../../../core/gpu";
import { capacity, needOf, type OwnImage } from "../../../core/manager";
import type { ManagerConfig } from "../config";
import type { Containers } from "../containers";
import { DockerError, type Engine, wordsFor } from "../docker";
import type { Operations } from "../operations";
import { PlacesOfEach } from "../places";
import type { LedgerService } from "../service";
import type { Store } from "../store";
import { Book, type ManagedRow } from "./book";
import { handOut } from "./claim";
import { reached } from "./faults";
import type { FormerTenants } from "./former";
import { holdingsOf } from "./holdings";
import { type ImageEngine, Images } from "./images";
import { keepLogs } from "./keep-logs";
import { keyFor } from "./key";
import { Maker, type MakerOptions, type Whose } from "./maker";
import { NodeMeasure } from "./measure";
import { Once } from "./once";
import { PoolKeeper } from "./pool";
import type { Logs, ManagedContainer, ManagedContainers } from "./ports";
import { type RecoverOptions, recoverManaged, STOP_SECONDS } from "./recover";
import { isLeaving, noContainer, noManager, notMadeYet, startsWithoutGpus, tooManyAsks } from "./refusals";
import {
  type ClaimRequest,
  type ManagedRequest,
  patternsOf,
  templateFor,
  usualNeed,
  type Wanted,
  wantedOf,
  wantedOfTemplate,
} from "./request";
import { MOST_ASKS } from "./share";
import { type ManagedView, managedOf, ownImageOf, viewOf } from "./view";
import { Volumes } from "./volumes";

export interface ManagerOptions
  extends Pick<MakerOptions, "write" | "config" | "ports" | "setups" | "caches" | "log" | "mostOfTenant"> {
  store: Pick<Store, "tables" | "rebuilding" | "rebuilt">;
  stack: string;
  engine: ImageEngine & Pick<Engine, "exec" | "inspect" | "start" | "stop" | "removeVolume">;
  containers: RecoverOptions["containers"] & Pick<Containers, "onEvent" | "tell">;
  creator: MakerOptions["creator"] & RecoverOptions["creator"];
  operations: Pick<Operations, "has">;
  ledger: Pick<LedgerService, "closed">;
  isTenant(name: string): boolean;
  /** Whose names are not to be used before all that they had is gone. @default nobody leaves */
  former?: Pick<FormerTenants, "look" | "leaves" | "times" | "isNeeded">;
  /** Beside the others' of whatever the pools run to see whether a container is ready. @default none */
  probeEnv?(): Readonly<Record<string, string>>;
  /** What containers print: a log begins with its container. @default nobody keeps it */
  logs?: Logs;
  /** Waited for before anything is made or mended. @default nothing */
  ready?(): Promise<void>;
  /** Of this node. @default as the kernel says it */
  measure?: Pick<NodeMeasure, "measure">;
  /** Of one tenant. @default 64 */
  mostVolumes?: number;
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
}

/** Who asks, for a tenant. */
export interface TenantCaller {
  /** The tenant. */
  owner: string;
  /** As events name it. */
  actor: string;
}

export class Manager implements ManagedContainers {
  /** To be called regularly. */
  readonly tidy: () => Promise<void>;
  private readonly book: Book;
  private readonly maker: Maker;
  private readonly pool: PoolKeeper;
  private readonly once: Once;
  /** What tenants have of it. */
  readonly holdings: ReturnType<typeof holdingsOf>;
  private readonly asks = new PlacesOfEach(MOST_ASKS, 0);
  private readonly ended = new AbortController();
  private readonly stopListening: () => void;
  private recovering: Promise<void> | undefined;
  private problem: string | undefined;

  constructor(private readonly options: ManagerOptions) {
    const { tables } = options.store;
    const now = options.now ?? Date.now;
    const book = new Book(tables.managed.all(), now(), keepLogs(options));
    this.book = book;
    const measure = options.measure ?? new NodeMeasure();
    const images = new Images(options.engine, measure, this.ended.signal, options.config, options.log);
    this.tidy = () => images.dropOldStandIns();
    const volumes = new Volumes({ ...options, rows: tables.volumes.all(), book, most: options.mostVolumes });
    this.maker = new Maker({ ...options, book, measure, images, volumes });
    this.pool = new PoolKeeper({ ...options, book, images, maker: this.maker, now });
    const { answered } = tables;
    this.holdings = holdingsOf({ book, maker: this.maker, volumes, answered, now, write: options.write });
    this.once = new Once(answered, book, now);
    this.maker.onGone((id) => {
      this.pool.planSoon();
      options.caches?.detach(id).catch(({ message }: Error) => {
        options.log.warn({ managed: id, error: message }, "the packages of a container that is gone stay");
      });
    });
    this.stopListening = options.containers.onEvent((event) => {
      if (event.kind === "looked") void this.recoverSoon();
    });
  }

  /** Undefined: this node has no manager, by what the stack says now. */
  get config(): ManagerConfig | undefined {
    return this.options.config();
  }

  /** False: a node without a manager, and without anything left of one. It gets no folders of it. */
  get isUsed(): boolean {
    return this.config !== undefined || this.size > 0 || this.options.former?.isNeeded === true;
  }

  /** Containers that it has, those of the pools too. */
  get size(): number {
    return this.book.size;
  }

  /** All of them. `owner` left out: nobody has it yet. `container`: Docker's id, once it is known. */
  all(): Pick<ManagedRow, "id" | "owner" | "container">[] {
    return this.book.all();
  }

  /** What is wrong, for `health`. */
  get problems(): string[] {
    return [...this.pool.broken, ...(this.problem === undefined ? [] : [this.problem])];
  }

  /** Whether all that a tenant had is being removed: nobody of that name is let in. */
  isLeaving(tenant: string): boolean {
    return this.options.former?.leaves(tenant) ?? false;
  }

  /** Whether a port of the node is one of a container's, running or not. */
  hasPort(port: number): boolean {
    return this.book.ports().has(port);
  }

  // For a tenant

  create(request: ManagedRequest, caller: TenantCaller, signal?: AbortSignal): Promise<Result<ManagedView>> {
    const { owner } = caller;
    return this.give("create", request, caller, signal, (config) => {
      const wanted = wantedOf(request, config, this.ownImages(owner));
      if (wanted.ok) this.options.setups()?.useImage(owner, wanted.value.image);
      return wanted;
    });
  }

  /** One of a template's pool; where none is ready, one that is made for it. */
  claim(request: ClaimRequest, caller: TenantCaller, signal?: AbortSignal): Promise<Result<ManagedView>> {
    return this.give("claim", request, caller, signal, (config) => {
      const template = templateFor(request.template, config);
      return template.ok ? { ok: true, value: wantedOfTemplate(template.value, request) } : template;
    });
  }

  list(owner: string): ManagedView[] {
    return this.book.of(owner).map((row) => this.view(row));
  }

  get(owner: string, id: string): Result<ManagedView> {
    const row = this.of(owner, id);
    return row.ok ? { ok: true, value: this.view(row.value) } : row;
  }

  find(owner: string, id: string): ManagedContainer | undefined {
    const row = this.of(owner, id);
    return row.ok ? managedOf(row.value) : undefined;
  }

  onGone(listener: (id: string) => void): () => void {
    return this.maker.onGone(listener);
  }

  remove(owner: string, id: string): Promise<Result<{ id: string }>> {
    return this.asked(() => this.maker.dispose(id, (row) => row.owner === owner));
  }

  /** As `remove`, for an operator: whoever has it. Undefined: it is none of the manager's. */
  removeAny(id: string): Promise<Result<{ id: string }>> | undefined {
    return this.book.get(id) && this.asked(() => this.maker.dispose(id));
  }

  stop(owner: string, id: string): Promise<Result<ManagedView>> {
    return this.turnTo(owner, id, ({ container }) => this.options.engine.stop(container, STOP_SECONDS));
  }

  async start(owner: string, id: string): Promise<Result<ManagedView>> {
    const row = this.of(owner, id);
    // Another container may have them by now.
    if (row.ok && row.value.gpus) return refuse(startsWithoutGpus(id));
    const started = await this.turnTo(owner, id, ({ container }) => this.options.engine.start(container));
    if (started.ok) this.options.setups()?.started(id);
    return started;
  }

  pools() {
    return this.pool.view();
  }

  capacity() {
    const templates = (this.config?.templates ?? []).map((one) => ({ name: one.name, ...needOf(one) }));
    const usual = { name: "default", ...usualNeed };
    const ready = new Map(this.pool.view().map((pool) => [pool.template, pool.ready]));
    const [first, ...rooms] = capacity(this.maker.room(), [usual, ...templates]).templates;
    return {
      more: first?.more ?? 0,
      bound: first?.bound ?? ("memory" as const),
      templates: rooms.map((room) => ({ ...room, ready: ready.get(room.name) ?? 0 })),
    };
  }

  images(owner: string | undefined) {
    const { images, templates = [] } = this.config ?? {};
    return {
      default: images?.default ?? "",
      allowed: this.config === undefined ? [] : patternsOf(this.config),
      templates: templates.map(({ name, image }) => ({ name, image })),
      own: owner === undefined ? [] : this.ownImages(owner).map(ownImageOf),
    };
  }

  // As berthd runs

  /** Ends what is half-done, and keeps the pools from then on. */
  recover(): Promise<void> {
    const before = this.recovering?.catch(() => {}); // whoever began it hears of it
    this.recovering = (before ?? Promise.resolve()).then(() => this.recoverNow());
    return this.recovering;
  }

  /** As `recover`; what goes wrong is said in the log and in `problems`. */
  recoverSoon(): Promise<void> {
    return this.recover().then(
      () => {
        this.problem = undefined;
      },
      (error: Error) => {
        this.problem = `containers of tenants could not be looked after: ${error.message}`;
        this.options.log.warn(
          { error: error.message },
          "containers of tenants could not be looked after; tried again later",
        );
      },
    );
  }

  /** The stack says something else. */
  configChanged(): void {
    void this.recoverSoon();
    this.pool.planSoon();
  }

  /** Takes no more, and waits for what is under way. Before the creator is closed. */
  async close(): Promise<void> {
    this.stopListening();
    this.ended.abort();
    await this.pool.close();
    await this.maker.close();
    await this.recovering?.catch(() => {}); // whoever began it hears of it
  }

  private async recoverNow(): Promise<void> {
    const { ledger, store } = this.options;
    if (!this.isUsed) return;
    // The creator waits for the same.
    if (ledger.closed() !== undefined) return;
    await this.options.ready?.();
    if (this.ended.signal.aborted) return;
    this.options.former?.look();
    const { rebuilding } = store;
    try {
      await recoverManaged({ ...this.options, book: this.book, maker: this.maker, rebuilding });
      // Containers that no row stands for are looked for where there is a manager.
      if (rebuilding !== undefined && this.config !== undefined) store.rebuilt();
    } finally {
      this.pool.start();
    }
  }

  /** What is wanted is taken from a pool or made, once for each key. */
  private async give(
    kind: "create" | "claim",
    request: ManagedRequest | ClaimRequest,
    caller: TenantCaller,
    signal: AbortSignal | undefined,
    decide: (config: ManagerConfig) => Result<Wanted>,
  ): Promise<Result<ManagedView>> {
    const { config } = this;
    if (config === undefined) return refuse(noManager);
    const key = keyFor(kind, request, caller);
    const may = this.tenancy(caller.owner);
    // One with a key comes back for it.
    const gone = key === undefined ? signal : undefined;
    await this.options.ready?.();
    const given = await this.asked(() =>
      this.once.run(key, async () => {
        const giveBack = await this.asks.take(caller.owner);
        if (giveBack === undefined) return refuse(tooManyAsks(caller.owner, MOST_ASKS));
        try {
          const wanted = decide(config);
          if (!wanted.ok) return wanted;
          const whose = { ...caller, may, ...(key !== undefined && { key }) };
          const taken = await this.take(wanted.value, whose);
          return taken ?? (await this.maker.make(wanted.value, whose, gone));
        } finally {
          giveBack();
        }
      }),
    );
    return given.ok ? { ok: true, value: this.view(this.book.get(given.value.id) ?? given.value) } : given;
  }

  /** In one turn, without a word to dockerd. Undefined: none is ready. */
  private async take(
    wanted: Wanted,
    whose: Whose & { owner: string },
  ): Promise<Result<ManagedRow> | undefined> {
    const { template } = wanted;
    if (template === undefined) return undefined;
    reached("manager:before-claim");
    const taken = await this.options.write<ManagedRow | undefined>((turn) => {
      const row = this.pool.next(template);
      if (row === undefined) return { ok: true, value: undefined };
      return handOut(turn, row, wanted, whose, { book: this.book, most: this.options.mostOfTenant });
    });
    reached("manager:after-claim");
    if (!taken.ok) return taken;
    if (taken.value === undefined) return undefined;
    this.pool.refill();
    return { ok: true, value: taken.value };
  }

  /** Whether somebody is the tenant still that they are now. */
  private tenancy(owner: string): () => boolean {
    const { former, isTenant } = this.options;
    const times = former?.times(owner);
    return () => isTenant(owner) && former?.times(owner) === times;
  }

  private of(owner: string, id: string): Result<ManagedRow> {
    const row = this.book.get(id);
    return row === undefined || row.owner !== owner ? refuse(noContainer(id)) : { ok: true, value: row };
  }

  private async turnTo(
    owner: string,
    id: string,
    act: (row: { container: string }) => Promise<void>,
  ): Promise<Result<ManagedView>> {
    const row = this.of(owner, id);
    if (!row.ok) return row;
    const { container, state } = row.value;
    if (state === "leaving") return refuse(isLeaving(id));
    if (container === undefined || state !== "ready") return refuse(notMadeYet(id));
    return this.asked(async () => {
      await act({ container });
      await this.options.containers.tell(container);
      return this.get(owner, id);
    });
  }

  /** A dockerd that does not do it is an answer. */
  private async asked<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DockerError)) throw error;
      this.options.log.warn({ reason: error.message }, "Docker did not do what a tenant asked for");
      return refuse(wordsFor(error));
    }
  }

  private view(row: ManagedRow): ManagedView {
    const { containers, setups } = this.options;
    const record = containers.get(row.container ?? "");
    return viewOf(row, record, this.config?.url ?? "", setups()?.phaseOf(row.id));
  }

  private ownImages(owner: string): readonly OwnImage[] {
    return this.options.setups()?.imagesOf(owner) ?? [];
  }
}
