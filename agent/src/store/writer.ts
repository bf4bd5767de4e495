import type { Refusal, Result } from "../../../core/gpu";
import type { StoreError } from "./errors";
import type { OutboxLine, Put, RowOf, TableName } from "./tables";

/** All that one turn decided: written whole, or not at all. */
export interface Batch {
  /** In order; of two rows with one key the last wins. */
  puts: readonly Put[];
  events: readonly OutboxLine[];
  /** The next grant's fencing token. */
  nextToken: number;
  /** Lines up to this one are safely in the event log. */
  written?: number;
}

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

/**
 * What the commands of one turn of the event loop decided: rows and lines to write, and how to take back what was
 * changed in memory. Whoever changes something in memory that a failed commit must not leave changed says how with
 * `onUndo`, in the same step.
 */
export class Turn {
  private readonly putRows: Put[] = [];
  private readonly lines: OutboxLine[] = [];
  private readonly undos: (() => void)[] = [];
  private readonly answers: (() => void)[] = [];
  private readonly at: string;

  /** @param now milliseconds since the epoch, for all of the turn */
  constructor(
    readonly now: number,
    private readonly firstEvent: number,
  ) {
    this.at = new Date(now).toISOString();
  }

  get puts(): readonly Put[] {
    return this.putRows;
  }

  get events(): readonly OutboxLine[] {
    return this.lines;
  }

  /** True: there is something to write. */
  get dirty(): boolean {
    return this.putRows.length + this.lines.length > 0;
  }

  /** Writes a row: the whole row; one with the same key is replaced. */
  put<Name extends TableName>(table: Name, row: RowOf<Name>): void {
    this.putRows.push({ table, row } as Put);
  }

  /** Rows that this turn put so far, which are not in the database yet. */
  rowsOf<Name extends TableName>(table: Name): RowOf<Name>[] {
    return this.putRows.flatMap((put) => (put.table === table ? [put.row as RowOf<Name>] : []));
  }

  /** A line for the event log. No secrets: it is read by whoever reads logs. Fields that are undefined are left out. */
  log(event: string, fields: Readonly<Record<string, unknown>>): void {
    const seq = this.firstEvent + this.lines.length;
    this.lines.push({ seq, line: JSON.stringify({ seq, event, at: this.at, ...fields }) });
  }

  /** Called when the turn could not be written, those of the turn in reverse order. */
  onUndo(undo: () => void): void {
    this.undos.push(undo);
  }

  /** Called once the turn is on the disk, in order. */
  onWritten(answer: () => void): void {
    this.answers.push(answer);
  }

  /** Runs one command; one that throws leaves the turn as it was before it. */
  attempt(run: () => void): void {
    const [puts, lines, undos, answers] = [
      this.putRows.length,
      this.lines.length,
      this.undos.length,
      this.answers.length,
    ];
    try {
      run();
    } catch (error) {
      this.undo(undos);
      this.putRows.length = puts;
      this.lines.length = lines;
      this.answers.length = answers;
      throw error;
    }
  }

  /** Takes back what was changed in memory. @param from leaves as many of the first changes as they are */
  undo(from = 0): void {
    for (const undo of this.undos.splice(from).reverse()) undo();
  }

  /** Answers those who asked. */
  answer(): void {
    for (const answer of this.answers) answer();
  }
}

interface Command<T extends Turn> {
  decide(turn: T): void;
  refuse(refusal: Refusal): void;
  fail(error: unknown): void;
}

export interface WriterOptions<T extends Turn> {
  store: WriterStore;
  log: WriterLog;
  /** Number of the next line in the event log. */
  nextEvent: number;
  /** Makes the turn that the commands of now decide in. */
  turn(nextEvent: number): T;
  /** The next grant's fencing token, as it is written with each turn. */
  nextToken(): number;
  /** Called in each turn after its commands. */
  afterCommands(turn: T): void;
  /** Called with how long each commit took, in seconds. */
  onCommit?(seconds: number): void;
  onTrouble(error: StoreError): void;
  onRecovered(): void;
}

const idleAfterMs = 1000;

/**
 * The one writer of the database. Commands that arrive in the same turn of the event loop are decided one after another
 * and written in one transaction; nobody is answered before it is on the disk.
 */
export class Writer<T extends Turn> {
  private pending: Command<T>[] = [];
  private scheduled = false;
  private nextEvent: number;
  private purged = 0;
  private trouble: StoreError | undefined;
  private idle: NodeJS.Timeout | undefined;
  private waits: (() => void)[] = [];

  constructor(private readonly options: WriterOptions<T>) {
    this.nextEvent = options.nextEvent;
  }

  /** Set: the last commit failed. */
  get problem(): StoreError | undefined {
    return this.trouble;
  }

  /** `decide` runs in the next turn; what it returns is the answer once that turn is on the disk. */
  submit<Value>(decide: (turn: T) => Result<Value>): Promise<Result<Value>> {
    return new Promise((resolve, reject) => {
      this.pending.push({
        decide: (turn) => {
          const result = decide(turn);
          turn.onWritten(() => resolve(result));
        },
        refuse: (refusal) => resolve({ ok: false, refusal }),
        fail: reject,
      });
      this.schedule();
    });
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
    const turn = this.options.turn(this.nextEvent);
    const decided: Command<T>[] = [];
    for (const command of commands) {
      try {
        turn.attempt(() => command.decide(turn));
        decided.push(command);
      } catch (error) {
        // A mistake of ours: that caller hears of it, the others of the turn are no part of it.
        command.fail(error);
      }
    }
    let seconds: number | undefined;
    try {
      this.options.afterCommands(turn);
      if (turn.dirty) seconds = this.commit(turn);
    } catch (error) {
      turn.undo();
      this.failed(error as StoreError, decided);
      this.settled();
      return;
    }
    // It is on the disk: nothing takes it back from here on.
    if (seconds !== undefined) this.committed(turn, seconds);
    turn.answer();
    this.settled();
    this.rest();
  }

  /** @returns how long it took, in seconds */
  private commit({ puts, events }: T): number {
    const { store, log, nextToken } = this.options;
    const started = performance.now();
    const written = log.written > this.purged ? log.written : undefined;
    store.commit({ puts, events, nextToken: nextToken(), written });
    if (written !== undefined) this.purged = written;
    return (performance.now() - started) / 1000;
  }

  private committed({ events }: T, seconds: number): void {
    this.nextEvent += events.length;
    this.options.onCommit?.(seconds);
    this.options.log.append(events);
    if (this.trouble) {
      this.trouble = undefined;
      this.options.onRecovered();
    }
  }

  private failed(error: StoreError, commands: readonly Command<T>[]): void {
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
