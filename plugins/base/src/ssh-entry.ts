/** One pooled connection: dialled for all who wait, its channels counted, closed when idle. */
import type { Duplex } from "node:stream";
import type { Client } from "ssh2";
import { sleep } from "./sleep";
import { addressOf, dialDefaults, dialOnce, prepare } from "./ssh-dial";
import { Sessions } from "./ssh-stop";
import { type CallOptions, type SshConnection, SshError } from "./ssh-types";

/** Back-off between tries: Pulumi's `retry.Until` (sdk/go/common/util/retry): 0.1 s, times 1.5, at most 5 s. */
const FIRST_DELAY = 100;
const DELAY_FACTOR = 1.5;
const MAX_DELAY = 5_000;
/** A refused sign-in is tried again this often: a machine that boots may have its keys a little later. */
const AUTH_RETRIES = 3;

/** A place among the channels of a connection. */
export interface Slot {
  /** The server has opened the channel. */
  open(): void;
  /** The channel is closed, or was never opened. */
  free(): void;
}

/** Someone who waits for the connection. */
interface Waiter {
  readonly limit: number;
  readonly perDialTimeout: number;
  readonly onRetry?: (message: string) => void;
  readonly started: number;
  failures: number;
  authFailures: number;
  resolve(client: Client): void;
  reject(error: Error): void;
}

export interface EntryOptions {
  readonly idleMs: number;
  readonly maxChannels: number;
  /** Opens a stream through the bastion, if there is one; holds the bastion open until it closes. */
  readonly viaProxy?: (signal: AbortSignal) => Promise<Duplex>;
  /** The connection is over; forget this entry. */
  readonly onGone: () => void;
}

export class PoolEntry {
  readonly address: string;
  private client: Client | undefined;
  /** What runs on the connection; undefined before it is up. */
  sessions: Sessions | undefined;
  private readonly waiters = new Set<Waiter>();
  private dialling: AbortController | undefined;
  private users = 0;
  private channels = 0;
  /** Of `channels`, those that the server has opened; and the most that there ever were. */
  private opened = 0;
  private mostOpened = 0;
  private limit: number;
  private readonly queue: (() => void)[] = [];
  private idle: NodeJS.Timeout | undefined;
  private gone = false;
  private readonly abortedByClose = new AbortController();

  constructor(
    private readonly to: SshConnection,
    private readonly options: EntryOptions,
  ) {
    this.address = addressOf(to);
    this.limit = options.maxChannels;
  }

  /** True once it can no longer be used. */
  get closed(): boolean {
    return this.gone;
  }

  /** True while a connection is up. */
  get connected(): boolean {
    return this.client !== undefined;
  }

  /** Aborts when the pool is closed. */
  get closing(): AbortSignal {
    return this.abortedByClose.signal;
  }

  /** Counts a user, who keeps the connection from being idle until {@link release}. */
  use(): void {
    this.users++;
    clearTimeout(this.idle);
  }

  release(): void {
    this.users--;
    if (this.users > 0 || this.gone) return;
    if (this.client === undefined && this.waiters.size === 0) {
      this.end();
      return;
    }
    this.idle = setTimeout(() => this.end(), this.options.idleMs);
    this.idle.unref();
  }

  /** The connection, dialled if need be. Many callers share one dialling. */
  connect(to: SshConnection, options: CallOptions, signal: AbortSignal): Promise<Client> {
    if (this.client !== undefined) return Promise.resolve(this.client);
    return new Promise<Client>((resolve, reject) => {
      if (signal.aborted)
        return reject(new SshError("cancelled", `connecting to ${this.address} was cancelled`));
      const stop = (): void =>
        waiter.reject(new SshError("cancelled", `connecting to ${this.address} was cancelled`));
      const settle = (): void => {
        signal.removeEventListener("abort", stop);
        this.waiters.delete(waiter);
        if (this.waiters.size === 0) this.dialling?.abort();
      };
      const waiter: Waiter = {
        limit: to.dialErrorLimit ?? dialDefaults.dialErrorLimit,
        perDialTimeout: to.perDialTimeout ?? dialDefaults.perDialTimeout,
        onRetry: options.onRetry,
        started: Date.now(),
        failures: 0,
        authFailures: 0,
        resolve: (client) => {
          signal.removeEventListener("abort", stop);
          this.waiters.delete(waiter);
          resolve(client);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener("abort", stop, { once: true });
      this.waiters.add(waiter);
      if (this.dialling === undefined) void this.dial();
    });
  }

  /** Tries until connected or until nobody waits any more. */
  private async dial(): Promise<void> {
    const control = new AbortController();
    this.dialling = control;
    let delay = FIRST_DELAY;
    try {
      await prepare(this.to); // a bad key or host key is told before anything is connected
      while (this.waiters.size > 0) {
        const timeouts = [...this.waiters].map((waiter) => waiter.perDialTimeout);
        const timeout = timeouts.includes(0) ? 0 : Math.max(...timeouts);
        try {
          const sock = await this.options.viaProxy?.(control.signal);
          const client = await dialOnce(this.to, { timeout, signal: control.signal, sock });
          this.adopt(client);
          return;
        } catch (error) {
          if (control.signal.aborted) return;
          this.failed(error as Error);
        }
        if (this.waiters.size === 0) return;
        await pause(delay, control.signal);
        delay = Math.min(delay * DELAY_FACTOR, MAX_DELAY);
      }
    } catch (error) {
      for (const waiter of [...this.waiters]) waiter.reject(error as Error);
    } finally {
      this.dialling = undefined;
      if (this.client === undefined) {
        // Someone may have come between the last failure and here.
        if (this.waiters.size > 0 && !this.gone) void this.dial();
        else this.end();
      }
    }
  }

  private adopt(client: Client): void {
    if (this.gone) {
      client.end();
      return;
    }
    this.client = client;
    this.sessions = new Sessions(client);
    client.once("close", () => {
      this.client = undefined;
      this.end();
    });
    for (const waiter of [...this.waiters]) waiter.resolve(client);
    // They may all have gone while the last try was under way.
    if (this.users === 0) {
      this.idle = setTimeout(() => this.end(), this.options.idleMs);
      this.idle.unref();
    }
  }

  /** One failed try: counts for everybody who waits, and ends the wait of those who have had enough. */
  private failed(error: Error): void {
    const kind = error instanceof SshError ? error.kind : "dial";
    for (const waiter of [...this.waiters]) {
      waiter.failures++;
      if (kind === "auth") waiter.authFailures++;
      if ((kind !== "auth" && kind !== "dial") || (error as SshError).final === true) {
        waiter.reject(error);
        continue;
      }
      const tooMany = waiter.limit >= 0 && waiter.failures > waiter.limit;
      if (tooMany || waiter.authFailures > AUTH_RETRIES) {
        const tries = `${waiter.failures} ${waiter.failures === 1 ? "try" : "tries"}`;
        const seconds = ((Date.now() - waiter.started) / 1000).toFixed(1);
        waiter.reject(
          new SshError(
            kind,
            `cannot connect to ${this.address} after ${tries} in ${seconds} s: ${error.message}`,
            error,
          ),
        );
      } else {
        const of = waiter.limit < 0 ? "" : ` of ${waiter.limit + 1}`;
        waiter.onRetry?.(`${this.address}: try ${waiter.failures}${of} failed: ${error.message}`);
      }
    }
  }

  /** Waits for a free channel slot. */
  async slot(signal: AbortSignal): Promise<Slot> {
    while (!this.gone && this.channels >= this.limit) {
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => {
          const at = this.queue.indexOf(wake);
          if (at >= 0) this.queue.splice(at, 1);
          reject(new SshError("cancelled", `waiting for a free session on ${this.address} was cancelled`));
        };
        const wake = (): void => {
          signal.removeEventListener("abort", stop);
          resolve();
        };
        if (signal.aborted) return stop();
        signal.addEventListener("abort", stop, { once: true });
        this.queue.push(wake);
      });
    }
    if (this.gone) throw new SshError("channel", `the connection to ${this.address} was lost`);
    this.channels++;
    let state: "asked" | "open" | "free" = "asked";
    return {
      open: () => {
        state = "open";
        this.opened++;
        this.mostOpened = Math.max(this.mostOpened, this.opened);
      },
      free: () => {
        if (state === "free") return;
        if (state === "open") this.opened--;
        state = "free";
        this.channels--;
        this.queue.shift()?.();
      },
    };
  }

  /**
   * The server refused one more session. Its MaxSessions is what is open, but never less than it had open at once
   * before: sshd counts a session until its process was waited for, a moment longer than its channel is there. Call
   * before the own slot is freed.
   *
   * @param waited it has been asked again for long enough: what is open now is what it allows
   * @returns "full": the next free slot is worth a try; "counted": so it is in a moment; "never": it allows none
   */
  refused(waited: boolean): "full" | "counted" | "never" {
    const others = this.channels - 1;
    if (others < this.mostOpened && !waited) return "counted";
    if (others < 1) return "never";
    this.limit = Math.min(this.limit, others);
    return "full";
  }

  /** Ends the connection and every wait. */
  end(cancelled = false): void {
    if (this.gone) return;
    this.gone = true;
    this.options.onGone();
    clearTimeout(this.idle);
    if (cancelled) this.abortedByClose.abort();
    this.dialling?.abort();
    for (const waiter of [...this.waiters]) {
      waiter.reject(new SshError("cancelled", `connecting to ${this.address} was cancelled`));
    }
    for (const wake of this.queue.splice(0)) wake();
    const client = this.client;
    this.client = undefined;
    if (client === undefined) return;
    client.end();
    // A peer that is gone never answers the goodbye.
    setTimeout(() => client.destroy(), 1_000).unref();
  }
}

/** Resolves when the time has passed, or at the signal. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, signal).catch(() => {});
