/** A Docker engine: dockerode over a Unix socket, loopback TCP or SSH, with a deadline on every call. */

import { defaultPool, ProviderError, SshError, type SshPool } from "@berth/plugin-base";
import type Docker from "dockerode";
import { type Host, parseHost } from "../config/host";
import { parseSshOptions } from "../config/sshopts";
import { explainHangup, MAX_CHANNELS, SshAgent } from "./agent";
import type { DockerApi } from "./api";
import { Slots } from "./slots";
import { sshConnection } from "./ssh";

export interface EngineConfig {
  readonly host: string;
  readonly sshOpts: readonly string[];
}

/**
 * The newest API version that this plugin was written against (Docker 28; official 5.2.0 speaks the same). The
 * oldest is Docker 20.10's 1.41: `cgroupnsMode` came with it.
 */
const NEWEST_API = [1, 51] as const;
const OLDEST_API = [1, 41] as const;

/** Milliseconds for a call that neither waits nor transfers much. */
export const CALL_MS = 120_000;

/** What an engine refused. */
export class EngineError extends ProviderError {
  constructor(
    message: string,
    /** HTTP status; undefined: the call did not get through. */
    readonly status: number | undefined,
  ) {
    super(message);
    this.name = "EngineError";
  }
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default {@link CALL_MS}. */
  readonly deadlineMs?: number;
}

export class Engine {
  private readonly options: Docker.DockerOptions;
  private readonly agent: SshAgent | undefined;
  /** Node's agents count a connection only once it is open, so a burst of calls would open one each. */
  private readonly slots: Slots;
  private ready: Promise<DockerApi> | undefined;
  /** `1.41`; known once the first call got through. */
  version = "";

  constructor(
    readonly config: EngineConfig,
    pool: SshPool = defaultPool,
  ) {
    const host: Host = parseHost(config.host);
    const ssh = parseSshOptions(config.sshOpts);
    // dockerode fills what is not given from DOCKER_HOST; `host: undefined` keeps it from doing so.
    const base = { protocol: "http", headers: { "User-Agent": "berth" } } as const;
    if (host.kind === "unix") {
      this.options = { ...base, host: undefined, socketPath: host.path };
    } else if (host.kind === "tcp") {
      this.options = { ...base, host: host.host, port: host.port };
    } else {
      this.agent = new SshAgent(pool, () => sshConnection(host, ssh));
      // The name is never looked up; it only fills the Host header.
      const options = { ...base, host: "engine.invalid", port: 80, agent: this.agent };
      this.options = options as Docker.DockerOptions;
    }
    this.slots = new Slots(host.kind === "ssh" ? MAX_CHANNELS : 64);
  }

  /** Where it is, for messages. */
  get name(): string {
    return this.config.host;
  }

  /**
   * Runs one call.
   *
   * @param what for messages: `create container web`.
   * @param work gets dockerode and a signal that ends at the deadline; hand the signal to every call.
   * @throws EngineError with what the engine said; the signal's own reason if it was cancelled.
   */
  async call<T>(
    what: string,
    options: CallOptions,
    work: (docker: DockerApi, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.slots.run(options.signal, () => this.once(what, options, work));
    } catch (error) {
      if (options.signal?.aborted && !(error instanceof ProviderError))
        throw this.cancelled(what, options.signal.reason);
      throw error;
    }
  }

  private async once<T>(
    what: string,
    options: CallOptions,
    work: (docker: DockerApi, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const deadline = options.deadlineMs ?? CALL_MS;
    const timeout = AbortSignal.timeout(deadline);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
    try {
      const docker = await this.connect(signal);
      return await raced(work(docker, signal), signal);
    } catch (error) {
      if (options.signal?.aborted) throw this.cancelled(what, options.signal.reason);
      if (timeout.aborted) {
        throw new EngineError(
          `${what}: the engine at ${this.name} gave no answer within ${deadline / 1000} s`,
          undefined,
        );
      }
      throw await this.failed(what, error);
    }
  }

  /** As {@link call}; undefined if the engine answers that there is no such thing. */
  async find<T>(
    what: string,
    options: CallOptions,
    work: (docker: DockerApi, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.call(what, options, work);
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Asks for the engine's version once; a failed try is not remembered. */
  private async connect(signal: AbortSignal): Promise<DockerApi> {
    this.ready ??= this.negotiate();
    try {
      return await raced(this.ready, signal);
    } catch (error) {
      this.ready = undefined;
      throw error;
    }
  }

  private async negotiate(): Promise<DockerApi> {
    const signal = AbortSignal.timeout(CALL_MS);
    // Loaded when first needed: a preview without changes asks no engine, and starts a plugin for each node.
    const { default: Docker } = await import("dockerode");
    const client = new Docker(this.options);
    const docker = client as unknown as DockerApi;
    const version = await docker.version({ abortSignal: signal });
    const [major = 0, minor = 0] = (version.ApiVersion ?? "").split(".").map(Number);
    if (major !== 1 || minor < OLDEST_API[1]) {
      throw new EngineError(
        `the engine at ${this.name} speaks API ${version.ApiVersion}; at least ${OLDEST_API.join(".")} (Docker 20.10) is needed`,
        undefined,
      );
    }
    this.version = `1.${Math.min(minor, NEWEST_API[1])}`;
    (client.modem as { version?: string }).version = `v${this.version}`;
    return docker;
  }

  private cancelled(what: string, reason: unknown): ProviderError {
    const why = reason instanceof Error ? reason.message : "cancelled";
    return new ProviderError(`${what}: ${why}`);
  }

  private async failed(what: string, error: unknown): Promise<Error> {
    if (error instanceof EngineError) return new EngineError(`${what}: ${error.message}`, error.status);
    if (error instanceof ProviderError || error instanceof SshError) return prefixed(what, error);
    const answer = error as {
      statusCode?: number;
      json?: { message?: string };
      message?: string;
      code?: string;
    };
    if (answer.statusCode !== undefined) {
      // A stream's answer has no json; docker-modem's text then begins with the status.
      const said =
        answer.json?.message ?? (answer.message ?? "").replace(/^\(HTTP code \d+\) [a-z ]+ - /, "");
      return new EngineError(`${what}: ${said.trim()}`, answer.statusCode);
    }
    const cause = await explainHangup(this.agent, error);
    const text = (cause as Error).message;
    const advice =
      answer.code === "ENOENT" || answer.code === "ECONNREFUSED"
        ? "; is the engine running, and is host right?"
        : answer.code === "EACCES"
          ? "; this user may not use the socket: join the docker group or run as root"
          : "";
    return new EngineError(`${what}: cannot reach the engine at ${this.name}: ${text}${advice}`, undefined);
  }
}

function prefixed(what: string, error: Error): ProviderError {
  return new ProviderError(
    `${what}: ${error.message}`,
    error instanceof ProviderError ? error.partial : undefined,
  );
}

/** Ends waiting at the signal, even if the call itself does not heed it. */
function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error("cancelled"));
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
