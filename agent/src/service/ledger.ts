import {
  type Assignment,
  type Ctx,
  createState,
  type DeclaredGrant,
  type Grant,
  type Inventory,
  type KeptState,
  type OwnGrant,
  type Result,
  release,
  reserve,
  usableGrant,
} from "../../../core/gpu";
import { type StoredToken, type StoreError, Writer } from "../store";
import { contextOf, idAt } from "./context";
import { Declared } from "./declared";
import { healthOf } from "./health";
import { HeldBack } from "./held-back";
import { LedgerInput } from "./ledger-input";
import { LedgerTurn, type LedgerWriter, type WriteTurn } from "./ledger-turn";
import type { LedgerOptions } from "./options";
import type { SeenContainer } from "./ports";
import { Queue, withdrawn } from "./queue";
import { Reconciler } from "./reconciler";
import { Reservations } from "./reservations";
import type {
  DeclaredView,
  GrantFilter,
  Health,
  HistoryFilter,
  LedgerEvent,
  LedgerService,
  QueueEntry,
  ReserveRequest,
} from "./types";

export class Ledger implements LedgerService {
  private readonly state: KeptState;
  private readonly writer: LedgerWriter;
  private readonly requests = new Queue(() => this.turn());
  private readonly reconciler: Reconciler;
  private readonly heldBack: HeldBack;
  private readonly reservations: Reservations;
  private readonly input: LedgerInput;
  private readonly declared: Declared;
  private readonly now: () => number;
  private stopping = false;

  constructor(private readonly options: LedgerOptions) {
    const { loaded } = options.store;
    this.now = options.now ?? Date.now;
    // Not none: every grant would be written down as lost before the GPUs are read.
    this.state = createState(options.inventory.remembered(), loaded.live, {
      nextToken: loaded.nextToken,
      closed: "berthd is starting",
    });
    this.writer = new Writer({
      store: options.store,
      log: options.events,
      nextEvent: loaded.nextEvent,
      turn: (nextEvent) => {
        // As things stand now, not as they stood at the last tick.
        this.review();
        return new LedgerTurn(this.state, this.context(), nextEvent);
      },
      nextToken: () => this.state.nextToken,
      afterCommands: (turn) => this.requests.admit(turn),
      onCommit: options.onCommit,
      onTrouble: (error) => this.trouble(error),
      onRecovered: () => options.log.warn("the ledger can be written again"),
    });
    const { writer, requests: queue } = this;
    this.input = new LedgerInput({
      writer,
      queue,
      touch: (container) => this.reconciler.touch(container),
      state: this.state,
      log: options.log,
    });
    this.reservations = new Reservations({
      writer,
      queue,
      answered: options.store.tables.answered,
      grant: (id) => this.grant(id),
      release: (...args) => this.release(...args),
      newId: (kind) => idAt(kind, this.now()),
      now: this.now,
      onRefusal: options.onRefusal,
    });
    this.declared = new Declared({
      writer,
      state: this.state,
      context: () => this.context(),
      busy: () => options.busy?.(),
      containers: options.containers,
      stopped: (container) => this.containerGone(container),
      log: options.log,
    });
    this.heldBack = new HeldBack({
      containers: options.containers,
      input: this.input,
      closed: this.closed,
      look: () => this.reconciler.lookSoon(),
      log: options.log,
      now: this.now,
    });
    this.reconciler = new Reconciler({
      containers: options.containers,
      inventory: options.inventory,
      log: options.log,
      lookEvery: options.lookEvery ?? 60_000,
      tickEvery: options.tickEvery ?? 1000,
      tick: () => {
        options.onBeat?.();
        this.review();
        options.events.retry();
        return this.input.tick();
      },
      reconcile: (seen, skip) => this.input.reconcile(seen, skip),
      bringBack: (seen) => this.heldBack.bringBack(seen),
      event: (event) => this.input.event(event),
      inventoryChanged: (next) => {
        this.review();
        return this.input.inventoryChanged(next);
      },
      closedChanged: () => this.review(),
    });
    options.limits.onChange(() => {
      this.requests.lookAgain();
      this.review();
      this.turn();
    });
  }

  async start(): Promise<void> {
    const { loaded } = this.options.store;
    this.options.events.append(this.options.store.tables.outbox.after(this.options.events.written));
    if (loaded.lost !== undefined) {
      const where = loaded.movedTo === undefined ? "" : ` The old file is ${loaded.movedTo}.`;
      const found =
        loaded.found === undefined
          ? ""
          : ` What back-ends have was found in its copy: ${loaded.found.rows} rows, and ${loaded.found.unusable} that cannot be used.`;
      const message = `The ledger was lost: ${loaded.lost}.${where} It is rebuilt from the containers that run; nothing is granted until that is done. Reservations without a container, and bearer tokens of people and programs, are gone.${found}`;
      this.options.log.error({ event: "ledger-lost" }, message);
      await this.emit({ event: "ledger-lost", message });
    }
    await this.reconciler.start();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.review();
    this.requests.endAll({
      code: "closed",
      message: "berthd is stopping; the request waited and was not granted.",
      fix: "Ask again in a few seconds, when berthd is back.",
    });
    this.heldBack.close();
    await this.reconciler.stop();
    await this.writer.drained();
    this.writer.close();
  }

  // What is known

  /** `viewer`: a user, who is told nothing of others; undefined: an operator, who is told all. */
  health = (viewer?: string): Health => {
    const { limits, events } = this.options;
    return healthOf({
      viewer,
      closed: this.closed(),
      limits: limits.problem,
      others: [this.writer.problem?.message, events.problem, ...(this.options.problems?.() ?? [])],
      gpus: this.state.inventory.gpus,
      grants: this.state.grants.values(),
    });
  };

  closed = (): string | undefined => {
    if (this.stopping) return "berthd is stopping";
    const { limits } = this.options;
    return this.reconciler.problem ?? limits.closed ?? this.options.busy?.()?.why;
  };

  /** Seconds since the GPUs were read whole. */
  inventoryAge(): number | undefined {
    const reading = this.options.inventory.current();
    return reading && (this.now() - reading.readAt) / 1000;
  }

  inventory(): Inventory {
    return this.state.inventory;
  }

  limitsOf(user: string) {
    return this.options.limits.of(user);
  }

  live(): Iterable<Grant> {
    return this.state.grants.values();
  }

  grants({ user, state }: GrantFilter = {}): Grant[] {
    if (state === "released") {
      return this.history({ user, limit: 1000 }).filter((grant) => grant.state === "released");
    }
    return [...this.state.grants.values()].filter(
      (grant) =>
        (user === undefined || grant.user === user) && (state === undefined || grant.state === state),
    );
  }

  grant(id: string): Grant | undefined {
    return this.state.grants.get(id) ?? this.options.store.tables.grants.get(id);
  }

  grantOf(actor: string, key: string): Grant | undefined {
    const answered = this.options.store.tables.answered.find(actor, key, this.now());
    return answered && this.grant(answered.grantId);
  }

  history({ user, limit = 100, before }: HistoryFilter = {}): Grant[] {
    return this.options.store.tables.grants.history({ user, limit: Math.min(limit, 1000), before });
  }

  queue(): QueueEntry[] {
    return this.requests.size === 0 ? [] : this.requests.view({ state: this.state, ctx: this.context() });
  }

  heldBackNow = () => this.heldBack.list();

  queueLength(): number {
    return this.requests.size;
  }

  // Commands

  reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Result<Grant>> {
    return this.reservations.reserve(request, signal);
  }

  check({ user, ask }: Pick<ReserveRequest, "user" | "ask">): Result<{ units: Grant["units"] }> {
    const decision = reserve(this.state, this.context(), { user, ask, purpose: "check" });
    return decision.ok ? { ok: true, value: { units: decision.value.units } } : decision;
  }

  bind(request: { id: string; token: number; container: string }, by?: string): Promise<Result<Grant>> {
    return this.input.bind(request, by);
  }

  usable(own: OwnGrant): Result<Grant> {
    return usableGrant(this.state, this.context(), own);
  }

  bindOwn(request: Parameters<LedgerService["bindOwn"]>[0], by: string): Promise<Result<Grant>> {
    return this.input.bindOwn(request, by);
  }

  unbind(request: Parameters<LedgerService["unbind"]>[0]): Promise<Result<Grant>> {
    return this.input.unbind(request);
  }

  releaseOf(own: Parameters<LedgerService["releaseOf"]>[0], reason: string): Promise<Result<Grant>> {
    return this.input.releaseOf(own, reason);
  }

  release(id: string, reason?: string, force?: boolean, by?: string): Promise<Result<Grant>> {
    return this.writer.submit((turn) => turn.take(release(turn.state, turn.ctx, id, reason, force), by));
  }

  cancel(id: string): Result<{ id: string }> {
    const cancelled = this.requests.end(id, { code: "conflict", message: withdrawn });
    return cancelled
      ? { ok: true, value: { id } }
      : {
          ok: false,
          refusal: { code: "not-found", message: `Nothing waits under ${id}.`, fix: "See: berth gpu queue" },
        };
  }

  waiting(id: string): { user: string } | undefined {
    return this.requests.get(id);
  }

  emit(event: LedgerEvent): Promise<void> {
    return this.writer
      .submit((turn) => {
        turn.emit(event);
        return { ok: true, value: undefined };
      })
      .then((result) => {
        if (!result.ok) this.options.log.error({ lost: event }, "an event could not be written");
      });
  }

  /** Writes rows of other parts of berthd in the same turns as the grants. */
  write<T>(decide: (turn: WriteTurn) => Result<T>): Promise<Result<T>> {
    return this.writer.submit(decide);
  }

  /** Keeps records of bearer tokens, all or none, in the same transactions as the grants. */
  saveTokens<T extends readonly StoredToken[]>(
    value: T,
    events: readonly LedgerEvent[] = [],
    by?: string,
  ): Promise<Result<T>> {
    return this.writer.submit((turn) => {
      for (const token of value) turn.put("tokens", token);
      for (const event of events) turn.emit(event, by);
      return { ok: true, value };
    });
  }

  // Containers

  containerStarted(event: Parameters<LedgerService["containerStarted"]>[0]): Promise<Result<Grant[]>> {
    return this.input.started(event);
  }

  containerStopped(container: string): Promise<Result<Grant[]>> {
    return this.input.stopped(container);
  }

  containerGone(container: string): Promise<Result<Grant[]>> {
    return this.input.gone(container);
  }

  reconcile(seen: readonly SeenContainer[]): Promise<Result<Grant[]>> {
    return this.input.reconcile(seen, new Set());
  }

  // The stack's grants

  settled(): Promise<void> {
    return this.declared.settled();
  }

  assignment(): Assignment {
    return this.declared.plan().assignment;
  }

  /** The declared grants as the ledger has them. */
  declaredNow(): DeclaredGrant[] {
    return this.declared.now();
  }

  planDeclared(declared: readonly DeclaredGrant[]): DeclaredView {
    return this.declared.plan(declared);
  }

  applyDeclared(...args: Parameters<Declared["apply"]>): Promise<Result<DeclaredView>> {
    return this.declared.apply(...args);
  }

  /** Opens or closes the ledger for new grants, as things stand. */
  review(): void {
    const why = this.closed();
    if (why === this.state.closed) return;
    const before = this.state.closed;
    if (why === undefined) delete this.state.closed;
    else this.state.closed = why;
    if (why === undefined) {
      this.options.log.info("the ledger is open: new grants are made");
      this.requests.lookAgain();
      this.options.onOpen?.();
    } else this.options.log.warn({ reason: why }, "the ledger is closed: nothing new is granted");
    if (this.stopping || (before !== undefined && why !== undefined)) return;
    void this.emit(
      why === undefined
        ? { event: "ledger-open", message: "New grants are made." }
        : { event: "ledger-closed", message: why },
    );
  }

  /** A turn with nothing of its own: those who wait are looked at again. */
  private turn(): void {
    void this.writer.submit(() => ({ ok: true, value: undefined }));
  }

  private trouble(error: StoreError): void {
    this.options.log.error({ err: error }, "the ledger could not be written");
    if (error.trouble === "corrupt") this.options.onFatal(error);
  }

  private context(): Ctx {
    return contextOf(this.options, this.now());
  }
}
