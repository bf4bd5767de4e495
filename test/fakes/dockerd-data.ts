/** The parts of the fake dockerd that carry data: logs, archives, images, what is used. Bytes as Docker 26 sends them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { frame } from "./dockerd-exec";

export interface Commit {
  query: URLSearchParams;
  body: unknown;
}

export class FakeData {
  /** @param images ids, by name */
  constructor(private readonly images: Map<string, string>) {}

  /** Ids of images that can be brought, by their whole name. */
  readonly registry = new Map<string, string>();
  /** Of containers, as dockerd frames them. */
  readonly logs = new Map<string, Buffer[]>();
  /** Answers of containers that run. */
  readonly stats = new Map<string, object>();
  /** What was unpacked: where, and the bytes. */
  readonly archives: { path: string; bytes: Buffer }[] = [];
  readonly commits: Commit[] = [];
  /** References that a container has. */
  readonly used = new Set<string>();
  /** Of images, by id. */
  readonly labels = new Map<string, Record<string, string>>();
  /** Puts what is unpacked somewhere. Default: nowhere. */
  unpackTo?: (path: string, bytes: Buffer) => Promise<void>;
  private readonly followers = new Map<ServerResponse, string>();

  /** One message of a container's main process, with dockerd's time before it. */
  log(container: string, output: 1 | 2, stamp: string, text: string): void {
    this.logBytes(container, frame(output, `${stamp} ${text}`));
  }

  logBytes(container: string, bytes: Buffer): void {
    this.logs.set(container, [...(this.logs.get(container) ?? []), bytes]);
    for (const [response, of] of this.followers) if (of === container) response.write(bytes);
  }

  get following(): number {
    return this.followers.size;
  }

  /** As when a container stops. */
  endLogs(): void {
    for (const response of this.followers.keys()) response.end();
  }

  sendLogs(container: string, query: URLSearchParams, response: ServerResponse, api: string): void {
    const framed = Number(api.split(".")[1]) >= 42;
    // Before 1.42 dockerd gives no type.
    response.writeHead(200, framed ? { "content-type": "application/vnd.docker.multiplexed-stream" } : {});
    response.flushHeaders();
    for (const bytes of this.logs.get(container) ?? []) response.write(bytes);
    if (query.get("follow") !== "true") return void response.end();
    this.followers.set(response, container);
    response.on("close", () => this.followers.delete(response));
  }

  /** Reads it to its end, or answers before it has read anything. */
  async unpack(path: string, request: IncomingMessage): Promise<{ status: number; message?: string }> {
    if (path === "/missing")
      return { status: 404, message: `Could not find the file ${path} in container x` };
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    if (bytes.subarray(0, 3).toString() === "bad")
      return { status: 500, message: "Error processing tar file" };
    this.archives.push({ path, bytes });
    await this.unpackTo?.(path, bytes);
    return { status: 200 };
  }

  commit(query: URLSearchParams, body: string, id: string): [status: number, value: object] {
    const { Labels = {} } = JSON.parse(body) as { Labels?: Record<string, string> };
    this.commits.push({ query, body: JSON.parse(body) });
    const name = `${query.get("repo")}:${query.get("tag")}`;
    const before = this.images.get(name);
    // It is there still, without a name.
    if (before !== undefined) this.images.set(before, before);
    this.images.set(name, `sha256:${id}`);
    this.labels.set(`sha256:${id}`, Labels);
    return [201, { Id: `sha256:${id}` }];
  }

  /** As the daemon does: that it failed is in what follows its 200. */
  pull(
    query: URLSearchParams,
    response: { writeHead(status: 200): unknown; end(text: string): unknown },
  ): void {
    const tag = query.get("tag") ?? "latest";
    const name = `${query.get("fromImage")}${tag.startsWith("sha256:") ? "@" : ":"}${tag}`;
    const id = this.registry.get(name);
    const error = `manifest for ${name} not found: manifest unknown: manifest unknown`;
    if (id !== undefined) {
      this.images.set(name.replace(/^docker\.io\/(library\/)?/, ""), id);
      this.images.set(id, id);
    }
    const end = id === undefined ? { errorDetail: { message: error }, error } : { status: `Digest: ${id}` };
    response.writeHead(200);
    response.end([{ status: "Pulling" }, end].map((line) => `${JSON.stringify(line)}\r\n`).join(""));
  }

  /** Each name as an image of its own. */
  list(query: URLSearchParams): object[] {
    const { label = [] } = JSON.parse(query.get("filters") ?? "{}") as { label?: string[] };
    const has = (id: string, wanted: string) => {
      const [key = "", ...value] = wanted.split("=");
      const found = this.labels.get(id)?.[key];
      return value.length === 0 ? found !== undefined : found === value.join("=");
    };
    const images = [...this.images].filter(([, id]) => label.every((wanted) => has(id, wanted)));
    return images.map(([name, Id]) => ({
      ...{ Id, Created: 0, Size: 0, Labels: this.labels.get(Id) ?? null },
      ...(name.includes("@") ? { RepoTags: null, RepoDigests: [name] } : { RepoTags: [name] }),
    }));
  }

  removeImage(name: string): [status: number, value: object] {
    if (this.used.has(name)) {
      const message = `conflict: unable to remove repository reference "${name}" (must force) - container 1a2b is using its referenced image 3c4d`;
      return [409, { message }];
    }
    const names = [...this.images].filter(([one, id]) => one === name || id === name).map(([one]) => one);
    if (names.length === 0) return [404, { message: `No such image: ${name}` }];
    for (const one of names) this.images.delete(one);
    return [200, [{ Untagged: name }]];
  }

  /** What `stats` answers of a container that does not run. */
  statsOf(container: string): object {
    return this.stats.get(container) ?? NOT_RUNNING;
  }
}

const NOT_RUNNING = {
  read: "0001-01-01T00:00:00Z",
  preread: "0001-01-01T00:00:00Z",
  pids_stats: {},
  blkio_stats: { io_service_bytes_recursive: null },
  num_procs: 0,
  storage_stats: {},
  cpu_stats: { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 } },
  precpu_stats: { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 } },
  memory_stats: {},
  name: "/x",
  id: "x",
};
