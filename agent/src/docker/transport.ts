/** The way to dockerd: one version that both speak, and a deadline and a clear error for every call. */
import Docker from "dockerode";
import { type Call, Connections, dial, endedBy, raced, said } from "./dial";
import { DockerError } from "./errors";
import type { Sessions } from "./sessions";

/** Newest API version that this was written against (Docker 28), and the oldest (Docker 20.10). */
const NEWEST_API = 51;
const OLDEST_API = 41;

/** Milliseconds. Reads take dockerd a few; it answers late under load, and not at all when it hangs. */
export interface Deadlines {
  /** Looks: list, inspect, info, and the answer that begins a stream. Default 10 s. */
  read: number;
  /** Create: layers are prepared. Default 60 s. */
  create: number;
  /** Start: hooks run, devices are made. Default 60 s. */
  start: number;
  /** Beyond the grace that a stop was given. Default 60 s. */
  stop: number;
  /** Remove: layers go. Default 120 s. */
  remove: number;
  /** Whole trees of files: an archive is unpacked, an image is made of a container. Default 600 s. */
  write: number;
}
export const defaultDeadlines: Readonly<Deadlines> = {
  read: 10_000,
  create: 60_000,
  start: 60_000,
  stop: 60_000,
  remove: 120_000,
  write: 600_000,
};

export interface EngineOptions {
  /** @default /var/run/docker.sock */
  socket?: string;
  deadlines?: Partial<Deadlines>;
  /** Default: those of this node. */
  sessions?: Sessions;
}

export class Transport {
  readonly socket: string;
  readonly deadlines: Deadlines;
  private readonly agent = new Connections();
  private ready: Promise<Docker> | undefined;
  /** Spoken with this dockerd; undefined until it answered. */
  api: string | undefined;

  /** @param lost dockerd may be another one now: what it said is void */
  constructor(
    options: EngineOptions,
    private readonly lost: () => void,
  ) {
    this.socket = options.socket ?? "/var/run/docker.sock";
    this.deadlines = { ...defaultDeadlines, ...options.deadlines };
  }

  /** dockerd may be another one now, or have other settings or images than it said. */
  forget(): void {
    this.ready = undefined;
    this.lost();
  }

  read<T>(
    what: string,
    path: string,
    query: Record<string, unknown>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.call<T>(what, {
      method: "GET",
      path,
      query,
      fine: [200],
      deadlineMs: this.deadlines.read,
      signal,
    });
  }

  /**
   * What dockerd goes on sending, no faster than it is asked for.
   *
   * @param signal ends it, and its reason is then thrown
   */
  async stream(
    what: string,
    path: string,
    query: Record<string, unknown>,
    signal: AbortSignal | undefined,
  ): Promise<AsyncIterable<unknown>> {
    const { read } = this.deadlines;
    const call: Call = { method: "GET", path, query, fine: [200], stream: true, deadlineMs: read, signal };
    return endedBy(signal, await this.call<AsyncIterable<unknown>>(what, call));
  }

  async call<T>(what: string, call: Call): Promise<T> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), call.deadlineMs);
    const signal = call.signal === undefined ? late.signal : AbortSignal.any([call.signal, late.signal]);
    try {
      const docker = await raced(this.connect(), signal);
      return await raced(dial<T>(docker, call, signal), signal);
    } catch (error) {
      if (late.signal.aborted) {
        throw new DockerError(
          `${what}: dockerd at ${this.socket} gave no answer within ${call.deadlineMs / 1000} s`,
          "unknown",
        );
      }
      call.signal?.throwIfAborted();
      throw this.failed(what, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Agrees on a version once for each dockerd; one that went away is asked anew, since it may be another version. */
  private connect(): Promise<Docker> {
    this.ready ??= this.negotiate().catch((error: unknown) => {
      this.ready = undefined;
      throw error;
    });
    return this.ready;
  }

  private async negotiate(): Promise<Docker> {
    // `host: undefined`: else dockerode fills it from DOCKER_HOST.
    const options = {
      host: undefined,
      socketPath: this.socket,
      protocol: "http",
      agent: this.agent,
    } as const;
    const docker = new Docker(options as Docker.DockerOptions);
    const signal = AbortSignal.timeout(this.deadlines.read);
    const call: Call = { method: "GET", path: "/version", fine: [200], deadlineMs: this.deadlines.read };
    const answer = await raced(
      dial<{ ApiVersion?: string; MinAPIVersion?: string }>(docker, call, signal),
      signal,
    );
    const newest = minor(answer?.ApiVersion);
    const oldest = minor(answer?.MinAPIVersion) ?? 0;
    if (newest === undefined || newest < OLDEST_API || oldest > NEWEST_API) {
      throw new DockerError(
        `dockerd speaks API ${answer?.MinAPIVersion ?? "?"} to ${answer?.ApiVersion ?? "?"}; ` +
          `berthd needs one of 1.${OLDEST_API} (Docker 20.10) to 1.${NEWEST_API} (Docker 28)`,
        "unreachable",
      );
    }
    this.api = `1.${Math.min(newest, NEWEST_API)}`;
    (docker.modem as { version?: string }).version = `v${this.api}`;
    return docker;
  }

  private failed(what: string, error: unknown): DockerError {
    if (error instanceof DockerError) {
      if (error.status === undefined) this.forget();
      return new DockerError(`${what}: ${error.message}`, error.outcome, error.status);
    }
    const answer = error as { statusCode?: number; json?: unknown; message?: string; code?: string };
    if (answer.statusCode !== undefined) {
      return new DockerError(`${what}: ${said(answer)}`, "refused", answer.statusCode);
    }
    this.forget();
    const refused = answer.code === "ENOENT" || answer.code === "ECONNREFUSED" || answer.code === "EACCES";
    const advice = refused ? " (systemctl status docker)" : "";
    return new DockerError(
      `${what}: dockerd at ${this.socket} cannot be reached: ${answer.message ?? String(error)}${advice}`,
      refused ? "unreachable" : "unknown",
    );
  }
}

const minor = (version: string | undefined): number | undefined => {
  const match = /^1\.(\d+)$/.exec(version ?? "");
  return match ? Number(match[1]) : undefined;
};
