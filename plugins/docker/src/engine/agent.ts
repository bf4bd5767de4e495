/**
 * An HTTP agent whose connections are channels of one pooled SSH connection: each runs
 * `docker system dial-stdio` on the other side, which joins its stdin and stdout to the engine's socket.
 */
import { Agent, type AgentOptions, type ClientRequest } from "node:http";
import type { Duplex } from "node:stream";
import { inspect } from "node:util";
import { type Channel, ProviderError, type SshConnection, type SshPool } from "@berth/plugin-base";

const COMMAND = "docker system dial-stdio";
/** An idle channel keeps an sshd session and a process busy; longer than the gap between two calls of one resource. */
const IDLE_MS = 3_000;
/** sshd lets 10 sessions share a connection (MaxSessions); two are left for whoever else uses it. */
export const MAX_CHANNELS = 8;
/** Node's agents take any duplex stream, but call these on it as on a socket. */
const SOCKET_METHODS = ["setTimeout", "setNoDelay", "setKeepAlive", "ref", "unref"] as const;

type Done = (error: Error | null, stream?: Duplex) => void;

export class SshAgent extends Agent {
  private readonly idle = new WeakMap<Duplex, NodeJS.Timeout>();
  /** What the last channel that ended badly had to say. */
  private failure: Promise<string | undefined> = Promise.resolve(undefined);

  constructor(
    private readonly pool: SshPool,
    /** Asked anew for each channel: keys and known hosts may change while the process lives. */
    private readonly connection: () => Promise<SshConnection>,
  ) {
    super({ keepAlive: true, maxSockets: MAX_CHANNELS, maxFreeSockets: MAX_CHANNELS });
  }

  /** Why the other side ended the last channel; undefined if it did not, or has not said so within half a second. */
  async lastFailure(): Promise<string | undefined> {
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 500, undefined));
    return Promise.race([this.failure, late]);
  }

  /** docker-modem prints its options, agent and all, into a debug line that nobody reads: 150 ms for each call. */
  [inspect.custom](): string {
    return "SshAgent";
  }

  // @ts-expect-error Node's type knows only the form that returns a socket at once.
  override createConnection(_options: AgentOptions, done: Done): void {
    this.open().then(
      (stream) => done(null, stream),
      (error: Error) => done(error),
    );
  }

  override keepSocketAlive(stream: Duplex): boolean {
    if (stream.destroyed) return false;
    const timer = setTimeout(() => stream.destroy(), IDLE_MS);
    timer.unref();
    this.idle.set(stream, timer);
    return true;
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    clearTimeout(this.idle.get(stream));
    super.reuseSocket(stream, request);
  }

  private async open(): Promise<Duplex> {
    const channel: Channel = await this.pool.openChannel(await this.connection(), COMMAND);
    this.failure = channel.exit.then(({ code, stderr }) =>
      code === null || code === 0
        ? undefined
        : `"${COMMAND}" ended there with status ${code}: ${stderr.trim().slice(-500) || "it said nothing"}`,
    );
    for (const method of SOCKET_METHODS) {
      if (!(method in channel)) Object.assign(channel, { [method]: () => channel });
    }
    return channel;
  }
}

/** Turns "socket hang up" into what the other side said, if it did. */
export async function explainHangup(agent: SshAgent | undefined, error: unknown): Promise<unknown> {
  const text = error instanceof Error ? error.message : "";
  if (agent === undefined || !/hang up|ECONNRESET|EPIPE|closed/i.test(text)) return error;
  const said = await agent.lastFailure();
  return said === undefined ? error : new ProviderError(said);
}
