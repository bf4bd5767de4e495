import { mkdir } from "node:fs/promises";
import type { Line } from "../docker";
import { healEventLog } from "../events";
import type { Logger } from "../log";
import { InTurn } from "../waiting";
import { ContainerLog, type LogItem, leastBytes } from "./container-log";
import { listLogs, logPath, removeAll } from "./files";
import { type LogLine, textOf } from "./line";
import { Owners } from "./owners";
import { filesToRemove } from "./prune";

export interface ContainerLogsOptions {
  /** Nobody else writes in it. It is made, for its owner alone. */
  folder: string;
  /** Bytes of one container's log, of which the oldest quarter goes when it is full; at least 2 MiB. @default 16 MiB */
  maxBytes?: number;
  /**
   * Bytes of all logs together, above which whoever has most loses lines; a sixteenth more may stand there for a moment.
   * @default 2 GiB
   */
  maxAll?: number;
  /**
   * How many logs of containers that are gone are kept, above which whoever has most loses one; a moment more, until `prune`.
   * @default 2000
   */
  maxGone?: number;
  /** How long the log of a container that is gone is kept, in milliseconds. @default 24 h */
  keepMs?: number;
  /** Unix time in milliseconds. @default Date.now */
  now?(): number;
  log: Pick<Logger, "error">;
}

/** Where to begin, and when to stop. */
export interface LogRange {
  /** Number of the last line that the reader has. @default 0: the beginning of what is kept */
  after?: number;
  signal?: AbortSignal;
}

/**
 * What containers print, by their ids (8 characters of 0-9 and a-f), in files: for as many readers as there are, over a
 * restart, and for a time after the container is gone. A log begins with `open`, and lives until `end`.
 *
 * `open`, `has`, `read` and `follow` throw for what is no id; to `append` and `end` it is an id without a log.
 */
export class ContainerLogs {
  private readonly living = new Map<string, ContainerLog>();
  /** Of containers that are gone: the number of the last line, by which their files are read. */
  private readonly gone = new Map<string, number>();
  private readonly owners: Owners;
  /** One block of one file at a time, however many read. */
  private readonly reads = new InTurn();
  private pruning: Promise<void> | undefined;
  /** Bytes that were written since the sizes were looked at. */
  private written = 0;
  private readonly folder: string;
  private readonly maxBytes: number;
  private readonly maxAll: number;
  private readonly maxGone: number;
  private readonly keepMs: number;
  private readonly now: () => number;
  private readonly log: Pick<Logger, "error">;

  constructor(options: ContainerLogsOptions) {
    this.folder = options.folder;
    this.maxBytes = options.maxBytes ?? 16 * 2 ** 20;
    this.maxAll = options.maxAll ?? 2 * 2 ** 30;
    this.maxGone = options.maxGone ?? 2000;
    this.keepMs = options.keepMs ?? 24 * 3600_000;
    this.now = options.now ?? Date.now;
    this.log = options.log;
    this.owners = new Owners(this.folder, (error) =>
      this.log.error({ err: error }, "whose a container's log is could not be written down"),
    );
    if (this.maxBytes < leastBytes || this.maxAll < this.maxBytes)
      throw new Error(
        `A container's log of ${this.maxBytes} bytes, ${this.maxAll} in all: allowed are at least ${leastBytes} bytes, and in all as many as for one.`,
      );
  }

  /**
   * At the start: goes on with the logs of these containers, and takes all others for those of containers that are gone.
   * A line that a crash cut off goes, and its number is given to no other.
   *
   * @param unsure whose containers are there is not known yet: all that somebody has stay as well, until the next start
   */
  async restore(alive: Iterable<string>, unsure = false): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await this.owners.restore();
    for (const id of alive) this.open(id);
    if (unsure) for (const id of this.owners.all().keys()) this.open(id);
    for (const { id } of await listLogs(this.folder))
      if (!this.living.has(id)) this.gone.set(id, this.heal(id));
    await this.tidy();
  }

  /**
   * From now on lines of this container are taken. Changes nothing where that is so, but for the owner.
   *
   * @param owner whose log it is, also when the container is gone. Default: who it was, or nobody
   */
  open(id: string, owner?: string): void {
    const living = this.living.get(id);
    if (living?.ended) throw new Error(`The log of container ${id} is being ended.`);
    if (!living) this.living.set(id, this.make(id, this.heal(id)));
    if (owner !== undefined) this.owners.set(id, owner);
  }

  /** Whose log it is; undefined: nobody's, or there is none any more. */
  ownerOf(id: string): string | undefined {
    return this.owners.of(id);
  }

  /** Who has some. */
  allOwners(): Iterable<string> {
    return this.owners.all().values();
  }

  /** Ends and removes all of an owner's, whose containers are gone. */
  async removeOf(owner: string): Promise<void> {
    const theirs = (id: string) => this.ownerOf(id) === owner;
    await Promise.all([...this.living.keys()].filter(theirs).map((id) => this.end(id)));
    await this.pruning;
    const logs = (await listLogs(this.folder)).filter(({ id }) => theirs(id));
    await removeAll(logs.flatMap(({ files }) => files));
    for (const { id } of logs) this.gone.delete(id);
    this.owners.prune((id) => !theirs(id));
    await this.owners.settled();
  }

  /** Cuts off half a line that a crash left. @returns number of the last line */
  private heal(id: string): number {
    return healEventLog(logPath(this.folder, id)).seq;
  }

  private make(id: string, last: number): ContainerLog {
    const { maxBytes, now, reads } = this;
    return new ContainerLog(logPath(this.folder, id), last, { maxBytes, now, reads });
  }

  /**
   * Adds a line; one that was cut says so at its end. Resolves when there is room for the next: whoever does not wait for that
   * loses lines. Those that are lost, also since the disk is full, leave a gap.
   *
   * @param line as a command's and a container's are read; a longer one that was not cut is an error
   * @param at Unix time in milliseconds
   * @returns false: the log is not open, or has ended; no line is taken any more
   */
  async append(id: string, line: Line, at: number, source: LogLine["source"]): Promise<boolean> {
    const log = this.living.get(id);
    if (!log || log.ended) return false;
    this.count(await log.append({ line: textOf(line), timestamp: at, source }));
    return true;
  }

  private count(bytes: number): void {
    this.written += bytes;
    if (this.written >= this.maxAll / 16) void this.tidy();
  }

  private tidy(): Promise<void> {
    return this.prune().catch((error: unknown) =>
      this.log.error({ err: error }, "old logs of containers could not be removed"),
    );
  }

  /** Whether there is a log, be it of a container that is gone. */
  has(id: string): boolean {
    logPath(this.folder, id); // Throws for what is no id.
    return this.living.has(id) || this.gone.has(id);
  }

  /** The lines that are there now, the oldest first, as `follow` gives them. */
  read(id: string, { after = 0, signal = endless() }: LogRange = {}): AsyncIterable<LogItem> {
    return this.of(id).read(after, signal);
  }

  /**
   * First the number after which it begins, then the lines after that, the oldest first, and those that come, until the
   * log is ended or `signal` is aborted; without a log the number alone. Asked for one at a time: for a slow reader one
   * block waits in memory, and the rest is read from the files later. `gap` stands for lines that are not kept any more,
   * or were lost.
   */
  follow(id: string, { after = 0, signal = endless() }: LogRange = {}): AsyncIterable<LogItem> {
    return this.of(id).follow(after, signal);
  }

  /** A log that has ended is opened for each reader. */
  private of(id: string): ContainerLog {
    const living = this.living.get(id);
    if (living) return living;
    const gone = this.make(id, this.gone.get(id) ?? 0);
    gone.finish();
    return gone;
  }

  /** The container is gone: writes what waits; who follows ends after the last line. Nothing where that is so. */
  async end(id: string): Promise<void> {
    const log = this.living.get(id);
    if (!log) return;
    await log.end().finally(() => {
      this.living.delete(id);
      if (log.last > 0) this.gone.set(id, log.last);
    });
    if (log.backlog > 0)
      this.log.error({ container: id, lines: log.backlog }, `the last lines are lost: ${log.problem}`);
  }

  /** What could not be written, and why. */
  problems(): string[] {
    return [...this.living.values()].flatMap(({ problem }) => problem ?? []);
  }

  /**
   * Removes what is too old or too much, and tries again to write what could not be written. To be called regularly; where
   * much is written it calls itself.
   */
  prune(): Promise<void> {
    this.pruning ??= this.pruneNow().finally(() => {
      this.pruning = undefined;
    });
    return this.pruning;
  }

  private async pruneNow(): Promise<void> {
    this.written = 0;
    const { maxAll, maxGone, keepMs } = this;
    const alive = (id: string) => this.living.has(id);
    const known = [...this.gone.keys()];
    const logs = await listLogs(this.folder);
    const ownerOf = (id: string) => this.owners.of(id);
    const bounds = { maxAll, maxGone, keepMs, now: this.now(), alive, ownerOf };
    const old = new Set(filesToRemove(logs, bounds));
    const kept = new Set(
      logs.filter(({ files }) => files.some((file) => !old.has(file))).map(({ id }) => id),
    );
    for (const id of known) if (!kept.has(id)) this.gone.delete(id);
    this.owners.prune((id) => this.living.has(id) || this.gone.has(id));
    try {
      await removeAll(old);
    } finally {
      for (const log of this.living.values()) log.retry();
    }
  }

  /** At the stop: writes what waits. */
  async close(): Promise<void> {
    await Promise.all([...this.living.values()].map((log) => log.close()));
    await this.owners.settled();
  }
}

/** Of a reader who stays until the end. */
const endless = () => new AbortController().signal;
