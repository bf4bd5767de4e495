/** Remote files over SFTP, written so that a reader sees the old content or the new, never half. */
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { posix } from "node:path";
import type { SFTPWrapper, Stats } from "ssh2";
import { SshError } from "./ssh-types";

/** SFTP v3 status codes (draft-ietf-secsh-filexfer-02, section 7). */
const NO_SUCH_FILE = 2;
const UNSUPPORTED = 8;
/** Every SFTP server must take packets of 34,000 bytes; this leaves room for the header. */
const CHUNK = 32 * 1024;
/** Writes under way at once, so that a long round trip does not slow a large file down. */
const WINDOW = 32;

/** What a path is; undefined in its place: it does not exist. */
export interface RemoteStat {
  readonly directory: boolean;
  /** Permission bits. */
  readonly mode: number;
}

export class RemoteFiles {
  constructor(
    private readonly sftp: SFTPWrapper,
    private readonly address: string,
  ) {}

  async stat(path: string): Promise<RemoteStat | undefined> {
    try {
      const stats = await this.call<Stats>(`stat ${path}`, (done) => this.sftp.stat(path, done));
      return { directory: stats.isDirectory(), mode: stats.mode & 0o7777 };
    } catch (error) {
      if (codeOf(error) === NO_SUCH_FILE) return undefined;
      throw error;
    }
  }

  /** Makes a directory and those above it; an existing one is fine. */
  async mkdirs(path: string): Promise<void> {
    const found = await this.stat(path);
    if (found?.directory === true) return;
    if (found !== undefined)
      throw new SshError("sftp", `${this.address}: ${path} exists and is no directory`);
    const parent = posix.dirname(path);
    if (parent !== path) await this.mkdirs(parent);
    try {
      await this.call<void>(`make the directory ${path}`, (done) =>
        this.sftp.mkdir(path, (e) => done(e, undefined)),
      );
    } catch (error) {
      // Someone else may have made it in between; SFTP v3 says only "failure" then.
      if ((await this.stat(path))?.directory !== true) throw error;
    }
  }

  /**
   * Puts a file in place, as {@link SshPool.upload} says. A symbolic link is followed.
   *
   * @param mode permission bits; default: those of the file that is there, else 0o644.
   */
  async put(source: string | Buffer | { path: string }, path: string, mode?: number): Promise<void> {
    const there = await this.stat(path);
    if (there?.directory === true) {
      throw new SshError("sftp", `${this.address}: ${path} is a directory; give the path of a file`);
    }
    const target =
      there === undefined
        ? path
        : await this.call<string>(`resolve ${path}`, (done) => this.sftp.realpath(path, done));
    if (there === undefined) await this.mkdirs(posix.dirname(target));
    const name = `.${posix.basename(target)}.${randomBytes(6).toString("hex")}.tmp`;
    const temporary = posix.join(posix.dirname(target), name);
    const bits = mode ?? there?.mode ?? 0o644;
    try {
      // Not readable for others until it is whole and has its own bits.
      const handle = await this.call<Buffer>(`create ${temporary}`, (done) =>
        this.sftp.open(temporary, "wx", { mode: 0o600 }, done),
      );
      try {
        await this.write(handle, source, target);
        await this.call<void>(`set the mode of ${target}`, (done) =>
          this.sftp.fchmod(handle, bits, (e) => done(e ?? undefined, undefined)),
        );
        await this.sync(handle, target);
      } finally {
        await this.call<void>(`close ${target}`, (done) =>
          this.sftp.close(handle, (e) => done(e ?? undefined, undefined)),
        );
      }
      await this.rename(temporary, target);
    } catch (error) {
      await this.call<void>("clean up", (done) =>
        this.sftp.unlink(temporary, (e) => done(e ?? undefined, undefined)),
      ).catch(
        () => {}, // the first error counts
      );
      throw error;
    }
  }

  private async write(
    handle: Buffer,
    source: string | Buffer | { path: string },
    target: string,
  ): Promise<void> {
    const pending = new Set<Promise<void>>();
    let failed: unknown;
    let offset = 0;
    for await (const chunk of chunksOf(source)) {
      const at = offset;
      offset += chunk.length;
      const job = this.call<void>(`write ${target}`, (done) =>
        this.sftp.write(handle, chunk, 0, chunk.length, at, (e) => done(e ?? undefined, undefined)),
      ).then(
        () => void pending.delete(job),
        (error) => {
          pending.delete(job);
          failed ??= error;
        },
      );
      pending.add(job);
      if (pending.size >= WINDOW) await Promise.race(pending);
      if (failed !== undefined) break;
    }
    await Promise.all(pending);
    if (failed !== undefined) throw failed;
  }

  /** OpenSSH has fsync as an extension; a server without it keeps its own promises about disks. */
  private async sync(handle: Buffer, target: string): Promise<void> {
    try {
      await this.call<void>(`flush ${target}`, (done) =>
        this.sftp.ext_openssh_fsync(handle, (e) => done(e ?? undefined, undefined)),
      );
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }

  /** Plain SFTP v3 rename fails where the target exists; OpenSSH's extension replaces it in one step. */
  private async rename(from: string, to: string): Promise<void> {
    const what = `put ${to} in place`;
    try {
      await this.call<void>(what, (done) =>
        this.sftp.ext_openssh_rename(from, to, (e) => done(e ?? undefined, undefined)),
      );
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      await this.call<void>(what, (done) =>
        this.sftp.rename(from, to, (e) => done(e ?? undefined, undefined)),
      );
    }
  }

  private call<T>(
    what: string,
    start: (done: (error: Error | null | undefined, value: T) => void) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(new SshError("sftp", `${this.address}: cannot ${what}: ${error.message}`, error));
      try {
        start((error, value) => (error === undefined || error === null ? resolve(value) : fail(error)));
      } catch (error) {
        fail(error as Error);
      }
    });
  }
}

async function* chunksOf(source: string | Buffer | { path: string }): AsyncGenerator<Buffer> {
  if (typeof source === "string" || Buffer.isBuffer(source)) {
    const whole = Buffer.from(source as Buffer);
    for (let at = 0; at < whole.length; at += CHUNK) yield whole.subarray(at, at + CHUNK);
  } else {
    yield* createReadStream(source.path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>;
  }
}

function codeOf(error: unknown): number | undefined {
  const cause = (error as { cause?: { code?: unknown } }).cause;
  return typeof cause?.code === "number" ? cause.code : undefined;
}

/** ssh2 itself refuses extensions that the server did not announce. */
function isUnsupported(error: unknown): boolean {
  return (
    codeOf(error) === UNSUPPORTED || /does not support this extended request/i.test((error as Error).message)
  );
}
