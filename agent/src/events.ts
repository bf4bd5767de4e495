import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * A line with its number; `line` is JSON without a line end, and has the number as `seq`, before everything else.
 */
export interface EventLine {
  seq: number;
  /** Number of the line before; it follows `seq` in `line`. @default `seq` - 1 */
  after?: number;
  line: string;
}

/** What an event log on disk tells of the ledger that wrote it. */
export interface EventLogEnd {
  /** Number of the last whole line; 0: none. */
  seq: number;
  /** The largest fencing token in the last lines; 0: none. */
  token: number;
  /** True: some log is there. */
  seen: boolean;
}

export interface EventLogOptions {
  /** Bytes, after which a file is put aside. @default 50 MiB */
  maxBytes?: number;
  /** Files kept beside the current one. @default 5 */
  keep?: number;
  /** Bytes of lines that are kept in memory for who follows them. @default 1 MiB */
  recentBytes?: number;
  /** False: lines are left to the kernel, and a power cut takes those of the last seconds. @default true */
  sync?: boolean;
}

const tailBytes = 256 * 1024;
/** Milliseconds between two syncs of the log. */
const syncEvery = 2000;
/** Milliseconds in which lines are gathered for one write. */
const gatherFor = 20;

/**
 * Looks at the end of the log and cuts off a last line that was torn by a crash: its event is still in the outbox, and
 * is written again.
 */
export function healEventLog(file: string): EventLogEnd {
  const current = readEnd(file, true);
  if (current && current.seq > 0) return current;
  const older = readEnd(`${file}.1`, false);
  return older ?? current ?? { seq: 0, token: 0, seen: false };
}

function readEnd(file: string, heal: boolean): EventLogEnd | undefined {
  if (!existsSync(file)) return undefined;
  const fd = openSync(file, heal ? "r+" : "r");
  try {
    const { size } = fstatSync(fd);
    const whole = wholeLines(fd, size);
    if (heal) {
      if (whole < size) ftruncateSync(fd, whole);
      // These lines are dropped from the outbox on the word of this reading.
      fsyncSync(fd);
    }
    let seq = 0;
    let token = 0;
    for (const line of readBefore(fd, whole).toString("utf8").split("\n")) {
      const parsed = parse(line);
      if (typeof parsed?.seq === "number") seq = Math.max(seq, parsed.seq);
      if (typeof parsed?.token === "number") token = Math.max(token, parsed.token);
    }
    return { seq, token, seen: true };
  } finally {
    closeSync(fd);
  }
}

/** Bytes up to the end of the last whole line. */
function wholeLines(fd: number, size: number): number {
  // A power cut may leave any number of zeros behind it.
  for (let end = size; end > 0; end -= tailBytes) {
    const block = readBefore(fd, end);
    const found = block.lastIndexOf(0x0a);
    if (found >= 0) return end - block.length + found + 1;
  }
  return 0;
}

/** The last bytes before this place, `tailBytes` at most. */
function readBefore(fd: number, end: number): Buffer {
  const buffer = Buffer.alloc(Math.min(end, tailBytes));
  readSync(fd, buffer, 0, buffer.length, end - buffer.length);
  return buffer;
}

function parse(line: string): { seq?: unknown; token?: unknown } | undefined {
  try {
    return JSON.parse(line) as { seq?: unknown; token?: unknown };
  } catch {
    // The first line of the tail may be half of one.
    return undefined;
  }
}

/**
 * Appends lines in order, each once. A write that fails is tried again with the next lines; until then they wait here
 * and in the outbox. Lines are brought to the disk every few seconds: a line that a power cut took is still in the outbox.
 */
export class EventLog {
  /** Set: the last write failed, and why. */
  problem: string | undefined;
  private waiting: EventLine[] = [];
  private waitingSize = 0;
  /** The last lines: all that wait, and of those in the file as many as `recentBytes` allow. */
  private recent: EventLine[] = [];
  private recentSize = 0;
  /** Number of the last line that is not in memory any more. */
  private forgotten: number;
  private over = false;
  private readonly followers = new Set<() => void>();
  /** Number of the last line, written or not. */
  last: number;
  private handle: FileHandle | undefined;
  /** Bytes of whole lines in the file. */
  private size = 0;
  /** Set: the file may have half lines after so many bytes. */
  private torn: number | undefined;
  private running: Promise<void> | undefined;
  private appended: number;
  private durable: number;
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private readonly maxBytes: number;
  private readonly keep: number;
  private readonly recentBytes: number;
  private readonly syncs: boolean;

  constructor(
    private readonly file: string,
    /** Number of the last line that is in the file. */
    last: number,
    options: EventLogOptions = {},
  ) {
    this.appended = last;
    this.durable = last;
    this.last = last;
    this.forgotten = last;
    this.maxBytes = options.maxBytes ?? 50 * 2 ** 20;
    this.keep = options.keep ?? 5;
    this.recentBytes = options.recentBytes ?? 2 ** 20;
    this.syncs = options.sync ?? true;
  }

  /** Number of the last line that is safely on the disk. */
  get written(): number {
    return this.durable;
  }

  /** How many lines wait. */
  get backlog(): number {
    return this.waiting.length;
  }

  /** Bytes of the lines that wait. */
  get backlogBytes(): number {
    return this.waitingSize;
  }

  append(lines: readonly EventLine[]): void {
    if (lines.length === 0) return;
    for (const line of lines) {
      this.waiting.push(line);
      this.waitingSize += Buffer.byteLength(line.line) + 1;
      this.recent.push(line);
      this.recentSize += line.line.length;
      this.last = line.seq;
    }
    this.forgetOld();
    for (const follower of this.followers) follower();
    // With those of the next turns: under load a write for each turn would cost more than the turn.
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.run();
    }, gatherFor);
  }

  private forgetOld(): void {
    let count = 0;
    for (const { seq, line } of this.recent) {
      if (this.recentSize <= this.recentBytes || seq > this.appended) break;
      this.recentSize -= line.length;
      this.forgotten = seq;
      count++;
    }
    this.recent.splice(0, count);
  }

  /** Number of the first line that is in memory. */
  get first(): number {
    return this.recent[0]?.seq ?? this.last + 1;
  }

  /** The files, the newest first, whether they are there or not. */
  get files(): string[] {
    return [this.file, ...Array.from({ length: this.keep }, (_, n) => `${this.file}.${n + 1}`)];
  }

  /** Lines after a number, so many at most; undefined: not all of them are in memory. */
  since(after: number, most: number): readonly EventLine[] | undefined {
    if (after < this.forgotten) return undefined;
    // From the end: almost everybody waits for the next one.
    const at = this.recent.findLastIndex(({ seq }) => seq <= after) + 1;
    return this.recent.slice(at, at + most);
  }

  /** True: no line comes any more, and who follows ends after the last one. */
  get finished(): boolean {
    return this.over;
  }

  finish(): void {
    this.over = true;
    for (const follower of this.followers) follower();
  }

  /** Resolves when lines are appended, the log is finished, or `signal` is aborted. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.followers.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.followers.add(done);
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }

  /** Tries again what failed. */
  retry(): void {
    this.run();
  }

  /** Resolves when fewer bytes wait, or they could not be written: then `problem` is set, and they wait on. */
  async room(bytes: number): Promise<void> {
    if (this.waitingSize < bytes) return;
    this.run();
    await this.running;
  }

  private run(): void {
    if (this.running || this.waiting.length === 0) return;
    this.running = this.drain().finally(() => {
      this.running = undefined;
      // Lines that came in between; after a failure they wait for the next call.
      if (this.problem === undefined && this.waiting.length > 0) this.run();
    });
  }

  private async drain(): Promise<void> {
    try {
      while (this.waiting.length > 0) {
        const lines = this.waiting.slice(0, 1000);
        await this.write(lines);
        this.waiting.splice(0, lines.length);
        for (const { line } of lines) this.waitingSize -= Buffer.byteLength(line) + 1;
        this.appended = lines.at(-1)?.seq ?? this.appended;
      }
      this.problem = undefined;
      if (this.syncs) this.timer ??= setTimeout(() => void this.sync(), syncEvery).unref();
    } catch (error) {
      await this.failed(error);
    }
  }

  private async write(lines: readonly EventLine[]): Promise<void> {
    // Somebody removed the file under us: what is written into it nobody would ever read.
    if (this.handle && (await this.handle.stat()).nlink === 0) await this.forget();
    if (this.handle && this.size >= this.maxBytes) await this.rotate();
    this.handle ??= await this.openFile();
    const data = Buffer.from(lines.map(({ line }) => `${line}\n`).join(""));
    this.torn = this.size;
    await this.handle.appendFile(data);
    this.torn = undefined;
    this.size += data.length;
  }

  private async openFile(): Promise<FileHandle> {
    await mkdir(dirname(this.file), { recursive: true });
    const handle = await open(this.file, "a", 0o640);
    try {
      // What got there of lines that failed goes again, so that none is there twice when they are tried anew.
      const { size } = await handle.stat();
      if (this.torn !== undefined && this.torn < size) await handle.truncate(this.torn);
      this.size = this.torn === undefined ? size : Math.min(this.torn, size);
      this.torn = undefined;
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
    return handle;
  }

  private async sync(): Promise<void> {
    this.timer = undefined;
    const upTo = this.appended;
    // A write failed meanwhile: the next one opens the file anew, and then all of it is brought to the disk.
    if (!this.handle || !this.syncs) return;
    try {
      await this.handle.datasync();
      this.durable = upTo;
    } catch (error) {
      await this.failed(error);
    }
  }

  private async failed(error: unknown): Promise<void> {
    this.problem = `${this.file} cannot be written: ${(error as Error).message}`;
    await this.forget();
  }

  private async rotate(): Promise<void> {
    if (this.syncs) await this.handle?.datasync();
    await this.forget();
    await rm(`${this.file}.${this.keep}`, { force: true });
    for (let n = this.keep - 1; n >= 1; n--)
      await renameIfThere(`${this.file}.${n}`, `${this.file}.${n + 1}`);
    if (this.keep > 0) await renameIfThere(this.file, `${this.file}.1`);
    else await rm(this.file, { force: true });
  }

  private async forget(): Promise<void> {
    const handle = this.handle;
    this.handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  /** Writes what waits, once, brings it to the disk unless it is left to the kernel, and closes. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    await this.running;
    this.run();
    await this.running;
    await this.sync();
    await this.forget();
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
