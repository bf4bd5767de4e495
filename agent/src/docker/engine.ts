/**
 * A node's Docker engine, as berthd calls it: every call has a deadline, so that a dockerd that is slow, hung or gone
 * costs the callers a clear error and never their time.
 */
import type { Readable } from "node:stream";
import type { ContainerBody } from "../../../core/containers";
import type { ImageName } from "../../../core/manager";
import { putArchive } from "./archive";
import type { Command, Host } from "./command";
import { DockerError, found, garbage, short, text } from "./errors";
import { type EngineEvent, EVENT_TYPES, parseEvents } from "./events";
import { type ExecOptions, type ExecResult, exec } from "./exec";
import {
  type CommitOptions,
  commitContainer,
  type ImageSummary,
  imagePath,
  listImages,
  removeImage,
} from "./images";
import { endLeft, type Mark } from "./left";
import { type LogLine, type LogsOptions, readLogs } from "./logs";
import { pullImage } from "./pull";
import { procSessions } from "./sessions";
import type { Inspect, Summary } from "./shapes";
import { readStats, type Stats } from "./stats";
import { openTerminal, type Terminal, type TerminalOptions } from "./terminal";
import { type Deadlines, type EngineOptions, Transport } from "./transport";
import { removeVolume } from "./volumes";

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

export class Engine {
  private readonly transport: Transport;
  /** What commands are run with. */
  private readonly host: Host;
  /** What this dockerd said of itself, and what it was seen to have. */
  private known = nothingKnown();

  constructor(options: EngineOptions = {}) {
    this.transport = new Transport(options, () => {
      this.known = nothingKnown();
    });
    this.host = { transport: this.transport, sessions: options.sessions ?? procSessions() };
  }

  get socket(): string {
    return this.transport.socket;
  }

  get deadlines(): Deadlines {
    return this.transport.deadlines;
  }

  /** Spoken with this dockerd; undefined until it answered. */
  get api(): string | undefined {
    return this.transport.api;
  }

  /** Asked once for each dockerd, and again after `forget`. */
  async info(signal?: AbortSignal): Promise<EngineInfo> {
    const { known } = this;
    known.info ??= await this.askInfo(signal);
    return known.info;
  }

  /** dockerd may be another one now, or have other settings or images than it said. */
  forget(): void {
    this.transport.forget();
  }

  private async askInfo(signal: AbortSignal | undefined): Promise<EngineInfo> {
    const answer = await this.transport.read<{
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
    const answer = await this.transport.read<unknown>(what, "/containers/json", { all: true }, signal);
    if (!Array.isArray(answer)) throw garbage(what, "no list");
    for (const entry of answer) text((entry as Partial<Summary> | null)?.Id, what, "Id");
    return answer as Summary[];
  }

  /** Undefined: there is no such container. */
  inspect(container: string, signal?: AbortSignal): Promise<Inspect | undefined> {
    const what = `inspect container ${short(container)}`;
    return found(async () => {
      const answer = await this.transport.read<Partial<Inspect>>(
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
      const path = `${imagePath(reference)}/json`;
      return text((await this.transport.read<{ Id?: string }>(what, path, {}, signal)).Id, what, "Id");
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
      this.transport.read<{ Options?: Record<string, string> | null }>(what, path, {}, undefined),
    );
    if (there !== undefined) {
      if (there.Options?.[REACH_EACH_OTHER] === "false") return;
      const message = `network ${name} lets its containers reach each other, and is not Berth's; take it away: docker network rm ${name}`;
      throw new DockerError(message, "refused", 409);
    }
    await this.transport.call(`make network ${name}`, {
      method: "POST",
      path: "/networks/create",
      body: { Name: name, Driver: "bridge", CheckDuplicate: true, Options: options, Labels: labels },
      fine: [201],
      deadlineMs: this.deadlines.create,
    });
  }

  async create(name: string, body: ContainerBody): Promise<string> {
    const what = `create container ${name}`;
    const answer = await this.transport.call<{ Id?: string } | undefined>(what, {
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
    await this.transport.call(`start container ${short(container)}`, {
      method: "POST",
      path: `/containers/${encodeURIComponent(container)}/start`,
      fine: [204, 304],
      deadlineMs: this.deadlines.start,
    });
  }

  /** TERM, and KILL after the grace. One that is stopped or gone is fine. */
  async stop(container: string, graceSeconds: number): Promise<void> {
    await this.transport.call(`stop container ${short(container)}`, {
      method: "POST",
      path: `/containers/${encodeURIComponent(container)}/stop`,
      query: { t: graceSeconds },
      fine: [204, 304, 404],
      deadlineMs: graceSeconds * 1000 + this.deadlines.stop,
    });
  }

  /** With its anonymous volumes; kills what runs. One that is gone, or on its way, is fine. */
  async remove(container: string): Promise<void> {
    await this.transport.call(`remove container ${short(container)}`, {
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
   * @returns the events; undefined stands for one that was missed, being too long to be read.
   * @param signal ends the stream, which then throws the signal's reason.
   */
  async events(since: string, signal: AbortSignal): Promise<AsyncIterable<EngineEvent | undefined>> {
    const query = { since, filters: JSON.stringify({ type: EVENT_TYPES }) };
    return parseEvents(await this.transport.stream("follow the events", "/events", query, signal));
  }

  /** Runs a command in a container that runs, to its end. No error has a word of the command. */
  exec(container: string, command: Command, options: ExecOptions = {}): Promise<ExecResult> {
    return exec(this.host, container, command, options);
  }

  /** Runs a command in a container with a terminal that somebody types into. */
  execStream(container: string, command: Command, options: TerminalOptions = {}): Promise<Terminal> {
    return openTerminal(this.host, container, command, options);
  }

  /**
   * Ends the commands that an earlier run of berthd began in a container and nobody waits for any more.
   *
   * @param mark what commands of this run have
   * @returns how many there were; 0 also where the container is gone, or does not run
   */
  async endLeft(container: string, mark: Mark): Promise<number> {
    const main = (await this.inspect(container))?.State.Pid ?? 0;
    return main > 0 ? endLeft(this.host.sessions, container, main, mark) : 0;
  }

  /** What a container's main process wrote. */
  logs(container: string, options: LogsOptions = {}): Promise<AsyncIterable<LogLine>> {
    return readLogs(this.transport, container, options);
  }

  /** Undefined: there is no such container, or it does not run. */
  stats(container: string, signal?: AbortSignal): Promise<Stats | undefined> {
    return readStats(this.transport, container, signal);
  }

  /**
   * Unpacks a tar archive in a container, with the owners that it names.
   *
   * @param path a folder that the container has
   * @param archive destroyed at the end, whatever that is; its error is thrown
   */
  putArchive(container: string, path: string, archive: Readable, signal?: AbortSignal): Promise<void> {
    return putArchive(this.transport, container, path, archive, signal);
  }

  /** Makes an image of a container's files, without what is mounted into it. @returns its id */
  commit(container: string, options: CommitOptions): Promise<string> {
    return commitContainer(this.transport, container, options);
  }

  /** @param labels `key` or `key=value`; those that have all of them. Default: all images */
  images(labels: readonly string[] = [], signal?: AbortSignal): Promise<ImageSummary[]> {
    return listImages(this.transport, labels, signal);
  }

  /** Brings an image from its registry; where the node has that version already, nothing is brought. */
  async pull(image: ImageName, signal?: AbortSignal): Promise<void> {
    await pullImage(this.transport, image, signal);
    this.known.images.clear();
  }

  /** By a name or by its id. One that is gone is fine. @returns false: something needs it, and it stays */
  async removeImage(reference: string): Promise<boolean> {
    const removed = await removeImage(this.transport, reference);
    this.known.images.clear();
    return removed;
  }

  /** With what is in it. One that is gone is fine. @returns false: a container has it, and it stays */
  removeVolume(name: string): Promise<boolean> {
    return removeVolume(this.transport, name);
  }
}
