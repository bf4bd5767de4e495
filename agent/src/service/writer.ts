import {
  apply,
  type Change,
  type Ctx,
  type Decision,
  type Grant,
  type KeptState,
  type LedgerState,
  type Refusal,
  type Result,
} from "../../../core/gpu";
import type { Answered, Batch, OutboxLine, StoredToken, StoreError } from "../store";
import type { LedgerEvent } from "./types";

/** What the writer needs of the database. */
export interface WriterStore {
  commit(batch: Batch): void;
  checkpoint(idle: boolean): StoreError | undefined;
}

/** What the writer needs of the event log. */
export interface WriterLog {
  append(lines: readonly OutboxLine[]): void;
  readonly written: number;
}

/** One turn: what has been decided in it, and how to take it all back. */
export class Turn {
  readonly grants: Grant[] = [];
  readonly lines: OutboxLine[] = [];
  readonly answered: Answered[] = [];
  readonly tokens: StoredToken[] = [];
  /** True: units may have become free, so that somebody who waits may get them. */
  freed = false;
  private readonly undos: (() => void)[] = [];

  readonly ctx: Ctx;

  constructor(
    private readonly kept: KeptState,
    ctx: Ctx,
    private nextEvent: number,
  ) {
    this.ctx = {
      ...ctx,
      // What this turn ended is not in the database yet.
      wasGiven: (id, token) =>
        this.grants.some((grant) => grant.id === id || grant.token === token) ||
        ctx.wasGiven?.(id, token) === true,
    };
  }

  /** For reading: what a turn changes of it, it changes by `take`. */
  get state(): LedgerState {
    return this.kept;
  }

  get dirty(): boolean {
    return this.grants.length + this.lines.length + this.answered.length + this.tokens.length > 0;
  }

  get eventsEnd(): number {
    return this.nextEvent;
  }

  /** Takes a decision over into the state in memory; `Result` without the changes. */
  take<T>(decision: Decision<T>, by?: string): Result<T> {
    if (!decision.ok) return decision;
    if (decision.changes.length > 0) this.change(decision.changes, by);
    return { ok: true, value: decision.value };
  }

  private change(changes: readonly Change[], by?: string): void {
    for (const { grant, event } of changes) {
      this.grants.push(grant);
      this.freed ||= grant.state === "released" || event === "found";
      this.write({
        event,
        at: new Date(this.ctx.now).toISOString(),
        grant: grant.id,
        token: grant.token,
        user: grant.user,
        group: grant.group,
        state: grant.state,
        units: grant.units.map(({ uuid, name, memoryMiB, shared }) =>
          shared ? { uuid, name, memoryMiB } : { uuid, name },
        ),
        purpose: grant.purpose,
        ...(grant.key !== undefined && { key: grant.key }),
        ...(grant.container !== undefined && { container: grant.container }),
        ...(grant.reason !== undefined && { reason: grant.reason }),
        ...(by !== undefined && { by }),
      });
    }
    this.undos.push(apply(this.kept, changes));
  }

  emit(event: LedgerEvent, by?: string): void {
    const at = new Date(this.ctx.now).toISOString();
    const { event: name, ...rest } = event;
    this.write({ event: name, at, ...rest, ...(by !== undefined && { by }) });
  }

  private write(fields: { event: string; at: string; [field: string]: unknown }): void {
    const seq = this.nextEvent++;
    this.lines.push({ seq, line: JSON.stringify({ seq, ...fields }) });
  }

  /** The state as it was before this turn; numbers that were given stay used. */
  undo(): void {
    for (const undo of this.undos.reverse()) undo();
  }
}

interface Command {
  /** Decides, and returns what answers the caller once the turn is on the disk, or `refuse` when it is not. */
  decide(turn: Turn): { answer: () => void };
  refuse(refusal: Refusal): void;
  fail(error: unknown): void;
}

export interface WriterOptions {
  state: KeptState;
  store: WriterStore;
  log: WriterLog;
  nextEvent: number;
  context(): Ctx;
  /** Called in each turn after its commands: grants those who wait. Returns what answers them, or undoes it. */
  afterCommands(turn: Turn): { answer: () => void; undo: () => void };
  /** Called with how long each commit took, in seconds. */
  onCommit?(seconds: number): void;
  onTrouble(error: StoreError): void;
  onRecovered(): void;
}

const idleAfterMs = 1000;

/**
 * The one writer. Commands that arrive in the same turn of the event loop are decided one after another and written in
 * one transaction; nobody is answered before it is on the disk.
 */
export class Writer {
  private pending: Command[] = [];
  private scheduled = false;
  private nextEvent: number;
  private purged = 0;
  private trouble: StoreError | undefined;
  private idle: NodeJS.Timeout | undefined;
  private waits: (() => void)[] = [];

  constructor(private readonly options: WriterOptions) {
    this.nextEvent = options.nextEvent;
  }

  /** Set: the last commit failed. */
  get problem(): StoreError | undefined {
    return this.trouble;
  }

  /** `decide` runs in the next turn; what it returns is the answer once that turn is on the disk. */
  submit<T>(decide: (turn: Turn) => Result<T>): Promise<Result<T>> {
    return new Promise((resolve, reject) => {
      this.enqueue({
        decide: (turn) => {
          const result = decide(turn);
          return { answer: () => resolve(result) };
        },
        refuse: (refusal) => resolve({ ok: false, refusal }),
        fail: reject,
      });
    });
  }

  private enqueue(command: Command): void {
    this.pending.push(command);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    // After the sockets of this turn were read: all that came with them is one transaction.
    setImmediate(() => this.flush());
  }

  private flush(): void {
    this.scheduled = false;
    const commands = this.pending;
    this.pending = [];
    const { state, store, log } = this.options;
    const turn = new Turn(state, this.options.context(), this.nextEvent);
    const answers: (() => void)[] = [];
    const decided: Command[] = [];
    for (const command of commands) {
      try {
        answers.push(command.decide(turn).answer);
        decided.push(command);
      } catch (error) {
        // A mistake of ours: that caller hears of it, the others of the turn are no part of it.
        command.fail(error);
      }
    }
    let waiting = { answer: () => {}, undo: () => {} };
    try {
      waiting = this.options.afterCommands(turn);
      if (turn.dirty) this.commit(turn, store, log);
    } catch (error) {
      turn.undo();
      waiting.undo();
      this.failed(error as StoreError, decided);
      this.settled();
      return;
    }
    for (const answer of answers) answer();
    waiting.answer();
    this.settled();
    this.rest();
  }

  private commit(turn: Turn, store: WriterStore, log: WriterLog): void {
    const started = performance.now();
    const written = log.written > this.purged ? log.written : undefined;
    store.commit({
      grants: turn.grants,
      nextToken: turn.state.nextToken,
      events: turn.lines,
      answered: turn.answered,
      tokens: turn.tokens,
      written,
    });
    if (written !== undefined) this.purged = written;
    this.nextEvent = turn.eventsEnd;
    this.options.onCommit?.((performance.now() - started) / 1000);
    log.append(turn.lines);
    if (this.trouble) {
      this.trouble = undefined;
      this.options.onRecovered();
    }
  }

  private failed(error: StoreError, commands: readonly Command[]): void {
    this.trouble = error;
    const refusal: Refusal = {
      code: "closed",
      message: `The ledger could not be written, so nothing was changed. ${error.message}`,
      fix: "Make room on the disk of /var/lib/berth, or see what the kernel says of that disk; berthd goes on by itself when it can write again.",
    };
    for (const command of commands) command.refuse(refusal);
    this.options.onTrouble(error);
  }

  private rest(): void {
    const trouble = this.options.store.checkpoint(false);
    if (trouble) this.options.onTrouble(trouble);
    if (this.idle) {
      this.idle.refresh();
      return;
    }
    this.idle = setTimeout(() => {
      const late = this.options.store.checkpoint(true);
      if (late) this.options.onTrouble(late);
    }, idleAfterMs).unref();
  }

  private settled(): void {
    if (this.pending.length > 0) return;
    const waits = this.waits;
    this.waits = [];
    for (const wait of waits) wait();
  }

  /** Resolves when nothing is pending. */
  drained(): Promise<void> {
    if (!this.scheduled) return Promise.resolve();
    return new Promise((resolve) => this.waits.push(resolve));
  }

  close(): void {
    clearTimeout(this.idle);
  }
}
