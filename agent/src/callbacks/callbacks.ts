import type { Result } from "../../../core/gpu";
import { PlacesOfEach } from "../places";
import type { CallbackRow, Turn } from "../store";
import { pause } from "../waiting";
import { bodyOf, type CallbackMessage } from "./message";
import { type Send, type SendOptions, sender } from "./send";
import type { CallbackTarget } from "./target";

export interface CallbacksOptions extends SendOptions {
  /** Those that the database has, each container's in order. */
  rows: readonly CallbackRow[];
  /** Writes in a turn of the one writer. */
  write(decide: (turn: Pick<Turn, "put" | "log">) => Result<void>): Promise<Result<void>>;
  log: { warn(data: object, message: string): void; error(data: object, message: string): void };
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
  /** Waits between two tries. @default a timer */
  pause?(ms: number, signal: AbortSignal): Promise<void>;
  limits?: Partial<CallbackLimits>;
}

/** How many may wait; above it the oldest are given up, for the newest say how things are. */
export interface CallbackLimits {
  /** Of one container. @default 32 */
  container: number;
  /** Of all; it goes at the expense of the owner with the most. @default 4000 */
  all: number;
}

const defaultLimits: CallbackLimits = { container: 32, all: 4000 };
const [firstPause, longestPause] = [1000, 60_000];
const keepTrying = 3_600_000;
/** Tries at a time for one owner: receivers that never answer hold up nobody else's. */
const atOnce = 4;

const fine: Result<void> = { ok: true, value: undefined };

/** Milliseconds to wait after so many failures in a row. */
const backOff = (failures: number) => Math.min(firstPause * 2 ** (failures - 1), longestPause);

/** Those of one container. */
interface Line {
  container: string;
  /** In the order in which they are sent. */
  rows: CallbackRow[];
  trying?: CallbackRow;
  running: boolean;
  /** Rows that are given up and not yet noted as gone. */
  leaving: Set<Promise<void>>;
  /** In a row. */
  failures: number;
  /** When the first of them was. */
  since: number;
}

/**
 * Sends each container's messages to the server that its owner named: one after the other, each until it is taken, also
 * by the next berthd. So a receiver may get one twice, and never gets a later one before an earlier one. After each
 * failure it waits, 1 s at first and 60 s at most. After an hour of failures a message is given up, with the event
 * `callback-dropped`; each is tried at least once. A restart of berthd begins that hour anew.
 */
export class Callbacks {
  private readonly lines = new Map<string, Line>();
  private readonly places = new PlacesOfEach(atOnce, Number.POSITIVE_INFINITY);
  private readonly ended = new AbortController();
  private readonly work = new Set<Promise<void>>();
  private readonly send: Send;
  private readonly limits: CallbackLimits;
  private started = false;

  constructor(private readonly options: CallbacksOptions) {
    this.send = sender(options);
    this.limits = { ...defaultLimits, ...options.limits };
    for (const row of options.rows) this.lineOf(row).rows.push(row);
  }

  /** How many wait. */
  get size(): number {
    return [...this.lines.values()].reduce((sum, { rows }) => sum + rows.length, 0);
  }

  start(): void {
    this.started = true;
    for (const line of this.lines.values()) this.run(line);
  }

  /**
   * Notes a message in the turn that changes what it tells; it is sent once the turn is on the disk.
   *
   * @param message its `timestamp` is the turn's; its `sequence` is larger than that of all before it of the container
   */
  add(
    turn: Pick<Turn, "now" | "put" | "onWritten">,
    { owner, target, message }: { owner: string; target: CallbackTarget; message: Untimed },
  ): void {
    const { containerId: container, sequence } = message;
    const body = bodyOf({ ...message, timestamp: turn.now });
    const row = { container, sequence, owner, url: target.url, secret: target.secret, body, at: turn.now };
    turn.put("callbacks", row);
    turn.onWritten(() => this.enter(row));
  }

  /** Cuts off what is under way: the next berthd sends it. */
  async close(): Promise<void> {
    this.ended.abort();
    await Promise.all(this.work);
  }

  private lineOf({ container }: CallbackRow): Line {
    const line = this.lines.get(container) ?? newLine(container);
    this.lines.set(container, line);
    return line;
  }

  private enter(row: CallbackRow): void {
    const line = this.lineOf(row);
    line.rows.push(row);
    const surplus = this.surplus(line);
    if (surplus) this.giveUp(surplus);
    this.run(line);
  }

  /** The one that is given up for another. */
  private surplus(line: Line): CallbackRow | undefined {
    if (line.rows.length > this.limits.container) return line.rows.find((row) => row !== line.trying);
    return this.size > this.limits.all ? oldestOfFullest([...this.lines.values()]) : undefined;
  }

  private giveUp(row: CallbackRow): void {
    const { leaving } = this.lineOf(row);
    const gone = this.forget(row, "too many waited").finally(() => leaving.delete(gone));
    leaving.add(gone);
    this.track(gone);
  }

  private run(line: Line): void {
    if (line.running || !this.started) return;
    line.running = true;
    this.track(this.sendAll(line));
  }

  private track(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => this.options.log.error({ err: error }, "callbacks are not sent any more"))
      .finally(() => this.work.delete(done));
    this.work.add(done);
  }

  private async sendAll(line: Line): Promise<void> {
    try {
      while (!this.ended.signal.aborted) {
        // A later berthd would send those after this one.
        while (line.leaving.size > 0) await Promise.all(line.leaving);
        const [row] = line.rows;
        if (row === undefined) break;
        await this.sendOne(line, row);
      }
    } finally {
      line.running = false;
      if (line.rows.length === 0) this.lines.delete(line.container);
    }
  }

  private async sendOne(line: Line, row: CallbackRow): Promise<void> {
    line.trying = row;
    const wrong = await this.attempt(row);
    line.trying = undefined;
    if (wrong !== undefined) return this.failed(line, row, wrong);
    line.failures = 0;
    await this.forget(row);
  }

  private async attempt(row: CallbackRow): Promise<string | undefined> {
    const giveBack = await this.places.take(row.owner);
    try {
      return this.ended.signal.aborted ? "berthd is stopping" : await this.send(row, this.ended.signal);
    } finally {
      giveBack?.();
    }
  }

  private async failed(line: Line, row: CallbackRow, wrong: string): Promise<void> {
    if (this.ended.signal.aborted) return;
    const now = (this.options.now ?? Date.now)();
    if (line.failures++ === 0) {
      line.since = now;
      this.options.log.warn({ ...told(row), reason: wrong }, "a callback was not taken; it is tried again");
    }
    if (now - Math.max(row.at, line.since) >= keepTrying) await this.forget(row, wrong);
    await this.wait(line.failures);
  }

  private wait(failures: number): Promise<void> {
    return (this.options.pause ?? pause)(backOff(failures), this.ended.signal);
  }

  /** Takes a row away. One that could not be noted as gone holds up the next: a later berthd would send it after those. */
  private async forget(row: CallbackRow, givenUp?: string): Promise<void> {
    const line = this.lineOf(row);
    line.rows = line.rows.filter((one) => one !== row);
    for (let failures = 1; !(await this.noted(row, givenUp)); failures++) {
      if (this.ended.signal.aborted) return;
      await this.wait(failures);
    }
  }

  private async noted(row: CallbackRow, givenUp?: string): Promise<boolean> {
    const wrong = await this.note(row, givenUp).catch((error: unknown) => (error as Error).message);
    if (wrong !== undefined)
      this.options.log.warn({ ...told(row), reason: wrong }, "a callback's end is not noted");
    return wrong === undefined;
  }

  /** @returns why it is not written */
  private async note(row: CallbackRow, givenUp?: string): Promise<string | undefined> {
    const written = await this.options.write((turn) => {
      turn.put("callbacks", { ...row, over: true });
      if (givenUp !== undefined) turn.log("callback-dropped", droppedEvent(row, givenUp));
      return fine;
    });
    return written.ok ? undefined : written.refusal.message;
  }
}

const newLine = (container: string): Line => ({
  ...{ container, rows: [], running: false, leaving: new Set(), failures: 0, since: 0 },
});

type Untimed = Omit<CallbackMessage, "timestamp">;

/** Of the owner with the most rows, the oldest one that is not on its way. */
function oldestOfFullest(lines: readonly Line[]): CallbackRow | undefined {
  const rows = lines.flatMap((line) => line.rows.filter((row) => row !== line.trying));
  const counts = new Map<string, number>();
  for (const { owner } of rows) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  const [fullest] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? [];
  return rows.filter(({ owner }) => owner === fullest).sort((a, b) => a.at - b.at)[0];
}

/** Not the whole URL: there may be a secret in it. */
const told = ({ container, owner, sequence, url }: CallbackRow) => ({
  ...{ container, owner, sequence, host: new URL(url).host },
});

const droppedEvent = (row: CallbackRow, why: string) => ({
  ...told(row),
  message: `Message ${row.sequence} of container ${row.container} was not delivered to ${told(row).host}, and is given up: ${why}.`,
});
