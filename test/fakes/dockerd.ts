/**
 * A dockerd for tests: a real HTTP server on a Unix socket with the answers of Docker 26, which can be told to be slow,
 * to hang, to drop connections, to fail, to lie, and to do a thing without saying so.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Inspect } from "../../agent/src/docker/shapes";
import type { ContainerBody } from "../../core/containers";
import { type Answer, json, missing, Nowhere, read } from "./dockerd-answer";
import { FakeData } from "./dockerd-data";
import { type ExecBody, FakeExecs } from "./dockerd-exec";

/** One answer other than the usual. */
export type Mood =
  /** Never answers. */
  | { kind: "hang" }
  /** Does it, and never answers. */
  | { kind: "deaf" }
  /** Ends the connection before it does anything. */
  | { kind: "drop" }
  /** Does it, and ends the connection without an answer. */
  | { kind: "drop-after" }
  | { kind: "status"; status: number; message: string }
  | { kind: "garbage"; text: string }
  /** Answers after so many milliseconds. */
  | { kind: "slow"; ms: number };

interface Rule {
  /** `POST /containers/create`: method and beginning of the path, `ID` for an id. */
  call: string;
  mood: Mood;
  times: number;
}

export interface FakeContainer extends Inspect {
  body?: ContainerBody;
}

export class FakeDockerd {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-dockerd-"));
  readonly socket = join(this.folder, "docker.sock");
  readonly containers = new Map<string, FakeContainer>();
  readonly images = new Map<string, string>();
  /** Options, by name. */
  readonly networks = new Map<string, Record<string, string>>();
  readonly calls: string[] = [];
  /** Paths and queries, as they came. */
  readonly urls: string[] = [];
  readonly execs = new FakeExecs();
  readonly data = new FakeData(this.images);
  api = "1.45";
  cdi = true;
  cpus = 16;
  /** Devices that CDI knows; undefined: any. */
  devices: Set<string> | undefined;
  /** Ids whose processes live, as the kernel has it. */
  readonly processes = new Set<string>();
  private rules: Rule[] = [];
  private streams = new Set<ServerResponse>();
  private sockets = new Set<Socket>();
  private server: Server | undefined;
  private nextId = 1;
  private nanos = 0;
  /** Kept as dockerd keeps them, for `since`. */
  private past: { at: string; line: string }[] = [];

  async start(): Promise<void> {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        response.destroy(error as Error);
      });
    });
    this.server.on("upgrade", (request, socket, head) => this.hijack(request, socket as Socket, head));
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => this.server?.listen(this.socket, resolve));
  }

  /** As when the daemon ends: nothing listens, every connection ends. */
  async stop(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    this.streams.clear();
    await closed;
  }

  async close(): Promise<void> {
    await this.stop();
    this.execs.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  mood(call: string, mood: Mood, times = Number.POSITIVE_INFINITY): void {
    this.rules.push({ call, mood, times });
  }

  calm(): void {
    this.rules = [];
  }

  /** A container that is there, as if somebody had made it with docker. */
  put(options: Partial<Omit<FakeContainer, "State">> & { State?: Partial<Inspect["State"]> } = {}): string {
    const id = options.Id ?? this.newId();
    const state = options.State?.Status ?? "running";
    const running = state === "running" || state === "paused";
    this.containers.set(id, {
      Id: id,
      Name: options.Name ?? `/c${id.slice(0, 6)}`,
      Created: new Date().toISOString(),
      Config: { Labels: {}, Env: [], ...options.Config },
      HostConfig: { DeviceRequests: null, Devices: [], Runtime: "runc", ...options.HostConfig },
      State: { Status: state, Running: running, Pid: running ? 4242 : 0, ExitCode: 0, ...options.State },
    });
    if (running) this.processes.add(id);
    return id;
  }

  run(id: string): void {
    const container = this.must(id);
    Object.assign(container.State, { Status: "running", Running: true, Pid: 4242 });
    this.processes.add(id);
    this.event("start", id);
  }

  end(id: string, code = 0): void {
    const container = this.must(id);
    Object.assign(container.State, { Status: "exited", Running: false, Pid: 0, ExitCode: code });
    this.processes.delete(id);
    this.event("die", id);
  }

  take(id: string): void {
    this.containers.delete(id);
    this.processes.delete(id);
    this.event("destroy", id);
  }

  event(action: string, id: string): void {
    const millis = Date.now();
    const time = Math.floor(millis / 1000);
    // Two events are never at one moment.
    this.nanos = Math.max(this.nanos + 1, millis * 1000);
    const nano = `${this.nanos}000`;
    const attributes = JSON.stringify(this.containers.get(id)?.Config?.Labels ?? {});
    const line = `{"status":"${action}","id":"${id}","Type":"container","Action":"${action}","Actor":{"ID":"${id}","Attributes":${attributes}},"scope":"local","time":${time},"timeNano":${nano}}`;
    this.past.push({ at: `${nano.slice(0, -9)}.${nano.slice(-9)}`, line });
    for (const stream of this.streams) stream.write(`${line}\n`);
  }

  /** Cuts the streams of events, as a restart of dockerd does. */
  cut(): void {
    for (const stream of this.streams) stream.socket?.destroy();
    this.streams.clear();
  }

  get following(): number {
    return this.streams.size;
  }

  private must(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw new Error(`no container ${id}`);
    return container;
  }

  private newId(): string {
    return (this.nextId++).toString(16).padStart(64, "0");
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const { url, path, shape } = this.note(request);
    // An archive is read as it is unpacked.
    const body = request.method === "PUT" ? "" : await read(request);
    const mood = this.take1(shape);
    if (mood?.kind === "hang") return undefined;
    if (mood?.kind === "drop") {
      return request.socket.destroy();
    }
    if (mood?.kind === "status") return json(response, mood.status, { message: mood.message });
    if (mood?.kind === "garbage") {
      return response.writeHead(200, { "content-type": "application/json" }).end(mood.text);
    }
    if (mood?.kind === "slow") await new Promise((resolve) => setTimeout(resolve, mood.ms));
    const silent = mood?.kind === "deaf" || mood?.kind === "drop-after";
    const answer = silent ? new Nowhere() : response;
    if (request.method === "PUT") await this.unpack(request, path, url.searchParams, answer);
    else this.serve(request.method ?? "GET", path, url.searchParams, body, answer);
    return mood?.kind === "drop-after" ? request.socket.destroy() : undefined;
  }

  private note(request: IncomingMessage): { url: URL; path: string; shape: string } {
    const url = new URL(request.url ?? "/", "http://docker");
    const path = url.pathname.replace(/^\/v1\.\d+/, "");
    const shape = `${request.method} ${path.replace(/^(\/containers\/|\/exec\/)(?!create|json$)[^/]+/, "$1ID")}`;
    this.calls.push(shape);
    this.urls.push(`${path}${url.search}`);
    return { url, path, shape };
  }

  /** A command's connection, whose first bytes are the body of what asks for it: with its head, or after that. */
  private hijack(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const length = Number(request.headers["content-length"]);
    if (head.length < length) {
      socket.once("data", (bytes: Buffer) => {
        socket.pause();
        this.hijack(request, socket, Buffer.concat([head, bytes]));
      });
      return;
    }
    const { path, shape } = this.note(request);
    const input = head.subarray(length);
    if (input.length > 0) socket.unshift(input);
    const id = /^\/exec\/([^/]+)\/start$/.exec(path)?.[1] ?? "";
    this.execs.hijack(id, socket, this.take1(shape), this.api);
  }

  private async unpack(request: IncomingMessage, path: string, query: URLSearchParams, response: Answer) {
    const name = /^\/containers\/([^/]+)\/archive$/.exec(path)?.[1] ?? "";
    const container = this.find(name);
    if (container === undefined) return missing(response, `No such container: ${name}`);
    const at = this.execs.inside(container.Id, query.get("path") ?? "");
    const { status, message } = await this.data.unpack(at, request);
    return json(response, status, message === undefined ? undefined : { message });
  }

  private take1(shape: string): Mood | undefined {
    const rule = this.rules.find(
      ({ call, times }) => times > 0 && (shape === call || shape.startsWith(`${call}/`)),
    );
    if (rule !== undefined) rule.times--;
    return rule?.mood;
  }

  private serve(
    method: string,
    path: string,
    query: URLSearchParams,
    body: string,
    response: Answer,
  ): unknown {
    if (path === "/version") return json(response, 200, { ApiVersion: this.api, MinAPIVersion: "1.24" });
    if (path === "/info") {
      return json(response, 200, {
        ID: "fake",
        ServerVersion: "26.1.5",
        CgroupDriver: "cgroupfs",
        CgroupVersion: "2",
        CDISpecDirs: this.cdi ? ["/etc/cdi", "/var/run/cdi"] : [],
        NCPU: this.cpus,
      });
    }
    if (path === "/events") return this.follow(query, response);
    if (path === "/containers/json") return json(response, 200, [...this.containers.values()].map(summary));
    if (path === "/containers/create") return this.create(query.get("name") ?? "", body, response);
    if (path === "/commit") return json(response, ...this.data.commit(query, body, this.newId()));
    if (path === "/images/create") return this.data.pull(query, response);
    if (path.startsWith("/volumes/")) return json(response, 204);
    if (path === "/images/json") return json(response, 200, this.data.list(query));
    if (method === "DELETE" && path.startsWith("/images/"))
      return json(response, ...this.data.removeImage(decodeURIComponent(path.slice("/images/".length))));
    if (path.startsWith("/exec/")) return this.serveExec(path, query, response);
    const image = /^\/images\/(.+)\/json$/.exec(path)?.[1];
    if (image !== undefined) {
      const id = this.images.get(decodeURIComponent(image));
      return id === undefined
        ? missing(response, `No such image: ${image}`)
        : json(response, 200, { Id: id });
    }
    if (path === "/networks/create") {
      const { Name, Options } = JSON.parse(body) as { Name: string; Options: Record<string, string> };
      this.networks.set(Name, Options);
      return json(response, 201, { Id: Name });
    }
    const network = /^\/networks\/(.+)$/.exec(path)?.[1];
    if (network !== undefined) {
      const options = this.networks.get(network);
      return options === undefined
        ? missing(response, `network ${network} not found`)
        : json(response, 200, { Name: network, Options: options });
    }
    const [, name = "", action = ""] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const container = this.find(decodeURIComponent(name));
    if (container === undefined) return missing(response, `No such container: ${name}`);
    if (action === "json") return json(response, 200, { ...container, body: undefined });
    if (action === "exec") return this.createExec(container, body, response);
    if (action === "stats") return json(response, 200, this.data.statsOf(container.Id));
    if (action === "logs" && !(response instanceof Nowhere))
      return this.data.sendLogs(container.Id, query, response, this.api);
    if (method === "DELETE") {
      this.take(container.Id);
      return json(response, 204);
    }
    if (action === "start") return this.startContainer(container, response);
    if (action === "stop") {
      if (!container.State.Running) return json(response, 304);
      this.end(container.Id, 143);
      return json(response, 204);
    }
    return json(response, 501, { message: `the fake dockerd has no ${method} ${path}` });
  }

  private find(name: string): FakeContainer | undefined {
    return this.containers.get(name) ?? [...this.containers.values()].find(({ Name }) => Name === `/${name}`);
  }

  private create(name: string, text: string, response: Answer): unknown {
    const body = JSON.parse(text) as ContainerBody;
    if (this.find(name)) {
      return json(response, 409, {
        message: `Conflict. The container name "/${name}" is already in use by container "x". You have to remove (or rename) that container to be able to reuse that name.`,
      });
    }
    if ((body.HostConfig.NanoCpus ?? 0) > this.cpus * 1e9) {
      return json(response, 400, {
        message: `range of CPUs is from 0.01 to ${this.cpus}.00, as there are only ${this.cpus} CPUs available`,
      });
    }
    const id = this.put({
      Name: `/${name}`,
      State: { Status: "created" },
      Config: { Image: body.Image, Env: body.Env, Labels: body.Labels, StopTimeout: body.StopTimeout },
      HostConfig: body.HostConfig,
      body,
    });
    const container = this.must(id);
    container.body = body;
    this.event("create", id);
    return json(response, 201, { Id: id, Warnings: [] });
  }

  private createExec(container: FakeContainer, body: string, response: Answer): unknown {
    if (!container.State.Running)
      return json(response, 409, { message: `container ${container.Id} is not running` });
    return json(response, 201, { Id: this.execs.create(container.Id, JSON.parse(body) as ExecBody) });
  }

  private serveExec(path: string, query: URLSearchParams, response: Answer): unknown {
    const [, id = "", action] = /^\/exec\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    const exec = this.execs.find(id);
    // A container takes its commands with it.
    if (exec === undefined || !this.containers.has(exec.container))
      return missing(response, `No such exec instance: ${id}`);
    if (action === "json") return json(response, 200, this.execs.inspect(exec));
    exec.sizes.push(`${query.get("h")}x${query.get("w")}`);
    return json(response, 200);
  }

  private startContainer(container: FakeContainer, response: Answer): unknown {
    const wanted = (container.HostConfig.DeviceRequests ?? []).flatMap(({ DeviceIDs }) => DeviceIDs ?? []);
    const unknown = wanted.filter((id) => this.devices !== undefined && !this.devices.has(id));
    if (unknown.length > 0) {
      const message = `could not select device driver: CDI device injection failed: unresolvable CDI devices ${unknown.join(", ")}`;
      return json(response, 500, { message });
    }
    this.run(container.Id);
    return json(response, 204);
  }

  private follow(query: URLSearchParams, response: Answer): unknown {
    if (!("writeHead" in response) || response instanceof Nowhere) return undefined;
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const since = query.get("since") ?? "";
    for (const { at, line } of this.past) if (at >= since) response.write(`${line}\n`);
    this.streams.add(response);
    return response.on("close", () => this.streams.delete(response));
  }
}

function summary(container: FakeContainer) {
  return {
    Id: container.Id,
    Names: [container.Name],
    Labels: container.Config?.Labels ?? {},
    State: container.State.Status,
    Created: 0,
  };
}
