/**
 * A node's Docker engine, as berthd calls it: every call has a deadline, so that a dockerd that is slow, hung or gone
 * costs the callers a clear error and never their time.
 */
import Docker from "dockerode";
import type { ContainerBody } from "../../../core/containers";
import { type Call, Connections, dial, raced, said } from "./dial";
import { type EngineEvent, EVENT_TYPES, parseEvents } from "./events";
import type { Inspect, Summary } from "./shapes";

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
}
export const defaultDeadlines: Readonly<Deadlines> = {
  read: 10_000,
  create: 60_000,
  start: 60_000,
  stop: 60_000,
  remove: 120_000,
};

/**
 * Why a call gave nothing. `refused`: dockerd answered, and did not do it. `unreachable`: the call did not get there.
 * `unknown`: it may have got there, and what came of it nobody said.
 */
export type Outcome = "refused" | "unreachable" | "unknown";

export class DockerError extends Error {
  constructor(
    message: string,
    readonly outcome: Outcome,
    /** HTTP status of a refusal. */
    readonly status?: number,
  ) {
    super(message);
    this.name = "DockerError";
  }
}

export interface EngineInfo {
  /** Of this dockerd's data: another one means that all containers are others. */
  id: string;
  /** `26.1.5`. */
  version: string;
  /** `1.45`: what is spoken. */
  api: string;
  cgroupDriver: string;
  cgroupVersion: string;
  /** Whether containers can be given CDI devices. */
  cdi: boolean;
  /** CPUs of the node: dockerd takes no container that is to have more. Undefined: it does not say. */
  cpus?: number;
}

/** A bridge network whose containers do not reach each other. */
export interface IsolatedNetwork {
  name: string;
  /** Of the bridge on the node: at most 15 characters. */
  bridge: string;
  labels: Readonly<Record<string, string>>;
}

/** Docker's option by which containers of one bridge reach each other. */
const REACH_EACH_OTHER = "com.docker.network.bridge.enable_icc";

interface Known {
  info?: EngineInfo;
  /** Ids, by reference. */
  images: Map<string, string>;
  /** By name: found, or on the way. */
  networks: Map<string, Promise<void>>;
}

const nothingKnown = (): Known => ({ images: new Map(), networks: new Map() });

export interface EngineOptions {
  /** @default /var/run/docker.sock */
  socket?: string;
  deadlines?: Partial<Deadlines>;
}

export class Engine {
  readonly socket: string;
  readonly deadlines: Deadlines;
  private readonly agent = new Connections();
  private ready: Promise<Docker> | undefined;
  /** Spoken with this dockerd; undefined until it answered. */
  api: string | undefined;
  /** What this dockerd said of itself, and what it was seen to have. */
  private known = nothingKnown();

  constructor(options: EngineOptions = {}) {
    this.socket = options.socket ?? "/var/run/docker.sock";
    this.deadlines = { ...defaultDeadlines, ...options.deadlines };
  }

  /** Asked once for each dockerd, and again after `forget`. */
  async info(signal?: AbortSignal): Promise<EngineInfo> {
    const { known } = this;
    known.info ??= await this.askInfo(signal);
    return known.info;
  }

  /** dockerd may be another one now, or have other settings or images than it said. */
  forget(): void {
    this.ready = undefined;
    this.known = nothingKnown();
  }

  private async askInfo(signal: AbortSignal | undefined): Promise<EngineInfo> {
    const answer = await this.read<{
      ID?: string;
      ServerVersion?: string;
      CgroupDriver?: string;
      CgroupVersion?: string;
      CDISpecDirs?: string[] | null;
      NCPU?: number;
    }>("ask for its settings", "/info", {}, signal);
    return {
      id: text(answer.ID, "ask for its settings", "ID"),
      version: answer.ServerVersion ?? "",
      api: this.api ?? "",
      cgroupDriver: answer.CgroupDriver ?? "",
      cgroupVersion: answer.CgroupVersion ?? "1",
      // Docker 25 to 27 leave the folders out unless `features.cdi` is set.
      cdi: (answer.CDISpecDirs ?? []).length > 0,
      ...((answer.NCPU ?? 0) > 0 && { cpus: answer.NCPU }),
    };
  }

  /** All containers, whatever their state. */
  async list(signal?: AbortSignal): Promise<Summary[]> {
    const what = "list the containers";
    const answer = await this.read<unknown>(what, "/containers/json", { all: true }, signal);
    if (!Array.isArray(answer)) throw garbage(what, "no list");
    for (const entry of answer) text((entry as Partial<Summary> | null)?.Id, what, "Id");
    return answer as Summary[];
  }

  /** Undefined: there is no such container. */
  inspect(container: string, signal?: AbortSignal): Promise<Inspect | undefined> {
    const what = `inspect container ${short(container)}`;
    return found(async () => {
      const answer = await this.read<Partial<Inspect>>(
        what,
        `/containers/${encodeURIComponent(container)}/json`,
        {},
        signal,
      );
      text(answer.Id, what, "Id");
      if (typeof answer.State !== "object" || typeof answer.HostConfig !== "object")
        throw garbage(what, "no State or HostConfig");
      return answer as Inspect;
    });
  }

  /**
   * The id of an image; undefined: it is not on this node. One that was found is not asked for again until `forget`.
   *
   * @param reference by id or by digest: what a tag names may change
   */
  async imageId(reference: string, signal?: AbortSignal): Promise<string | undefined> {
    const { images } = this.known;
    const known = images.get(reference);
    if (known !== undefined) return known;
    const what = `look for image ${reference}`;
    const id = await found(async () => {
      const path = `/images/${reference.split("/").map(encodeURIComponent).join("/")}/json`;
      return text((await this.read<{ Id?: string }>(what, path, {}, signal)).Id, what, "Id");
    });
    if (id !== undefined) images.set(reference, id);
    return id;
  }

  /**
   * Makes a network of this node, in which containers do not reach each other, where there is none of that name. One that was
   * found is not asked for again until `forget`.
   *
   * @throws DockerError also where one of that name lets its containers reach each other
   */
  ensureNetwork(network: IsolatedNetwork): Promise<void> {
    const { networks } = this.known;
    // One after the other: dockerd would make two of one name.
    const there = networks.get(network.name) ?? this.findOrMake(network);
    networks.set(network.name, there);
    there.catch(() => networks.delete(network.name));
    return there;
  }

  private async findOrMake({ name, bridge, labels }: IsolatedNetwork): Promise<void> {
    const what = `look for network ${name}`;
    const path = `/networks/${encodeURIComponent(name)}`;
    const options = { [REACH_EACH_OTHER]: "false", "com.docker.network.bridge.name": bridge };
    const there = await found(() =>
      this.read<{ Options?: Record<string, string> | null }>(what, path, {}, undefined),
    );
    if (there !== undefined) {
      if (there.Options?.[REACH_EACH_OTHER] === "false") return;
      const message = `network ${name} lets its containers reach each other, and is not Berth's; take it away: docker network rm ${name}`;
      throw new DockerError(message, "refused", 409);
    }
    await this.call(`make network ${name}`, {
      method: "POST",
      path: "/networks/create",
      body: { Name: name, Driver: "bridge", CheckDuplicate: true, Options: options, Labels: labels },
      fine: [201],
      deadlineMs: this.deadlines.create,
    });
  }

  async create(name: string, body: ContainerBody): Promise<string> {
    const what = `create container ${name}`;
    const answer = await this.call<{ Id?: string } | undefined>(what, {
      method: "POST",
      path: "/containers/create",
      query: { name },
      body,
      fine: [201],
      deadlineMs: this.deadlines.create,
    });
    return text(answer?.Id, what, "Id");
  }

  /** One that runs already is fine. */
  async start(container: string): Promise<void> {
    await this.call(`start container ${short(container)}`, {
      method: "POST",
      path: `/containers/${encodeURIComponent(container)}/start`,
      fine: [204, 304],
      deadlineMs: this.deadlines.start,
    });
  }

  /** TERM, and KILL after the grace. One that is stopped or gone is fine. */
  async stop(container: string, graceSeconds: number): Promise<void> {
    await this.call(`stop container ${short(container)}`, {
      method: "POST",
      path: `/containers/${encodeURIComponent(container)}/stop`,
      query: { t: graceSeconds },
      fine: [204, 304, 404],
      deadlineMs: graceSeconds * 1000 + this.deadlines.stop,
    });
  }

  /** With its anonymous volumes; kills what runs. One that is gone, or on its way, is fine. */
  async remove(container: string): Promise<void> {
    await this.call(`remove container ${short(container)}`, {
      method: "DELETE",
      path: `/containers/${encodeURIComponent(container)}`,
      query: { force: true, v: true },
      fine: [204, 404, 409],
      deadlineMs: this.deadlines.remove,
    });
  }

  /**
   * What happens to containers, and what may make older answers void, from a moment on.
   *
   * @param since seconds since the epoch, with up to nine decimals; events of that very moment come again.
   * @param signal ends the stream, which then throws the signal's reason.
   */
  async events(since: string, signal: AbortSignal): Promise<AsyncIterable<EngineEvent>> {
    const stream = await this.call<NodeJS.ReadableStream>("follow the events", {
      method: "GET",
      path: "/events",
      query: { since, filters: JSON.stringify({ type: EVENT_TYPES }) },
      fine: [200],
      stream: true,
      deadlineMs: this.deadlines.read,
      signal,
    });
    return parseEvents(stream);
  }

  private read<T>(
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

  private async call<T>(what: string, call: Call): Promise<T> {
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

const garbage = (what: string, why: string) =>
  new DockerError(`${what}: dockerd's answer makes no sense (${why})`, "unknown");

function text(value: unknown, what: string, field: string): string {
  if (typeof value !== "string" || value === "") throw garbage(what, `no ${field}`);
  return value;
}

async function found<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DockerError && error.status === 404) return undefined;
    throw error;
  }
}

/** An id as `docker ps` shows it. */
export function short(container: string): string {
  return /^[0-9a-f]{64}$/.test(container) ? container.slice(0, 12) : container;
}
