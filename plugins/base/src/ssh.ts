/** A pool of SSH connections: one per host, port, user and key, however many use it at once. */
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Client } from "ssh2";
import { onLeave } from "./leaving";
import { addressOf, dialDefaults } from "./ssh-dial";
import { PoolEntry, pause } from "./ssh-entry";
import { collect, OpenRefused, type Started, startCommand } from "./ssh-exec";
import { type Limits, limitsOf } from "./ssh-limits";
import {
  type CallOptions,
  type Channel,
  type ExecOptions,
  type ExecResult,
  type SshConnection,
  SshError,
  type SshProxy,
} from "./ssh-types";

export * from "./ssh-types";

export interface SshPoolOptions {
  /** Milliseconds after its last use until a connection is closed. Default 5000. */
  readonly idleMs?: number;
  /** Channels at once per connection; more wait in line. sshd's MaxSessions is 10 by default. Default 8. */
  readonly maxChannels?: number;
}

const STDERR_TAIL = 64 * 1024;
/** A server that counts sessions which have ended is asked again for so long, and so often. */
const COUNTED_MS = 10_000;
const COUNTED_PAUSE_MS = 50;

interface OpenChannel extends Started {
  /** Ends the remote process. */
  readonly stop: () => Promise<void>;
  /** Gives the session slot and the connection back. */
  readonly done: () => void;
}

export class SshPool {
  private readonly entries = new Map<string, PoolEntry>();
  private readonly idleMs: number;
  private readonly maxChannels: number;

  constructor(options: SshPoolOptions = {}) {
    this.idleMs = options.idleMs ?? 5_000;
    this.maxChannels = options.maxChannels ?? 8;
  }

  /** Connections that are up now. */
  get size(): number {
    return [...this.entries.values()].filter((entry) => entry.connected).length;
  }

  /** Ends everything at once; running calls fail as `cancelled` or `channel`. The pool can be used again. */
  async close(): Promise<void> {
    for (const entry of [...this.entries.values()]) entry.end(true);
  }

  /**
   * Runs a command and collects its output. A status other than 0 is no exception.
   *
   * @throws SshError
   */
  async exec(connection: SshConnection, command: string, options: ExecOptions = {}): Promise<ExecResult> {
    const limits = limitsOf(options);
    try {
      const opened = await this.open(connection, command, options, limits);
      try {
        return await collect(opened, opened.stop, addressOf(connection), options, limits);
      } finally {
        opened.done();
      }
    } catch (error) {
      throw limits.explain(error);
    } finally {
      limits.dispose();
    }
  }

  /**
   * Starts a command and gives its stdin and stdout as one stream, such as `docker system dial-stdio`.
   * `deadline` bounds the opening alone; `signal` ends the channel at any time.
   *
   * @throws SshError
   */
  async openChannel(connection: SshConnection, command: string, options: CallOptions = {}): Promise<Channel> {
    const limits = limitsOf(options);
    let opened: OpenChannel;
    try {
      opened = await this.open(connection, command, options, limits);
    } catch (error) {
      throw limits.explain(error);
    } finally {
      limits.dispose();
    }
    const { channel, ending, done } = opened;
    let stderr = "";
    channel.stderr.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-STDERR_TAIL);
    });
    const exit = ending.closed.then(() => {
      options.signal?.removeEventListener("abort", stop);
      done();
      const code = ending.code ?? null;
      return ending.signal === undefined ? { code, stderr } : { code, signal: ending.signal, stderr };
    });
    const stop = (): void => {
      channel.close();
      channel.destroy();
    };
    options.signal?.addEventListener("abort", stop, { once: true });
    return Object.assign(channel as unknown as Duplex, { exit });
  }

  private entry(connection: SshConnection): PoolEntry {
    const key = keyOf(connection);
    const found = this.entries.get(key);
    if (found !== undefined && !found.closed) return found;
    const proxy = connection.proxy;
    const made: PoolEntry = new PoolEntry(connection, {
      idleMs: this.idleMs,
      maxChannels: this.maxChannels,
      ...(proxy === undefined ? {} : { viaProxy: (signal) => this.tunnel(proxy, connection, signal) }),
      onGone: () => {
        if (this.entries.get(key) === made) this.entries.delete(key);
      },
    });
    this.entries.set(key, made);
    return made;
  }

  /** A TCP stream from the bastion to the target. Direct channels do not count as sessions. */
  private async tunnel(proxy: SshProxy, to: SshConnection, signal: AbortSignal): Promise<Duplex> {
    const entry = this.entry(proxy);
    entry.use();
    let client: Client;
    try {
      client = await entry.connect(proxy, {}, signal);
    } catch (error) {
      entry.release();
      const kind = error instanceof SshError ? error.kind : "dial";
      const wrapped = new SshError(kind, `proxy: ${(error as Error).message}`, error);
      wrapped.final = true;
      throw wrapped;
    }
    return new Promise<Duplex>((resolve, reject) => {
      try {
        client.forwardOut("127.0.0.1", 0, to.host, to.port ?? dialDefaults.port, (error, stream) => {
          if (error !== undefined) {
            entry.release();
            return reject(new SshError("dial", `proxy ${entry.address}: ${error.message}`, error));
          }
          stream.once("close", () => entry.release());
          resolve(stream);
        });
      } catch (error) {
        entry.release();
        reject(new SshError("dial", `proxy ${entry.address}: ${(error as Error).message}`, error));
      }
    });
  }

  private async open(
    connection: SshConnection,
    command: string,
    options: ExecOptions,
    limits: Limits,
  ): Promise<OpenChannel> {
    const entry = this.entry(connection);
    entry.use();
    try {
      const client = await entry.connect(connection, options, limits.signal);
      const { result, free } = await this.withSlot(entry, limits, () =>
        startCommand(client, command, limits.signal, entry),
      );
      return {
        ...result,
        stop: async () => entry.sessions?.end(result.channel),
        done: () => {
          free();
          entry.release();
        },
      };
    } catch (error) {
      entry.release();
      throw error;
    }
  }

  /** Opens something that counts as a session; when the server says it has enough, waits for one to end. */
  private async withSlot<T>(
    entry: PoolEntry,
    limits: Limits,
    open: () => Promise<T>,
  ): Promise<{ result: T; free: () => void }> {
    let end: number | undefined;
    for (;;) {
      const { open: opened, free } = await entry.slot(limits.signal);
      try {
        const result = await open();
        opened();
        return { result, free };
      } catch (error) {
        end ??= Date.now() + COUNTED_MS;
        const why = error instanceof OpenRefused ? entry.refused(Date.now() >= end) : "never";
        free();
        if (why === "counted") await pause(COUNTED_PAUSE_MS, limits.signal);
        if (why === "full") end = undefined;
        if (why !== "never") continue;
        if (error instanceof SshError) throw error;
        throw new SshError("channel", `${entry.address}: ${(error as Error).message}`, error);
      }
    }
  }
}

/** The process's own pool; `serve` closes it at Cancel and at exit. */
export const defaultPool = new SshPool();
onLeave(() => defaultPool.close());

/** Who shares a connection: same server, same account, same credentials, same expectations, same way there. */
function keyOf(to: SshConnection): string {
  const parts = [to.host, to.port ?? dialDefaults.port, to.user ?? dialDefaults.user];
  const secret = [to.privateKey, to.agentSocketPath, to.hostKey];
  const hash = createHash("sha256").update(JSON.stringify(secret.map((part) => part ?? null)));
  const proxy = to.proxy === undefined ? "" : keyOf(to.proxy);
  return JSON.stringify([...parts, hash.digest("hex"), proxy]);
}
