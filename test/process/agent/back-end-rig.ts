/**
 * @file A berthd in a process of its own with the container manager, and all that it works with: a dockerd whose commands are real
 * processes, a Git host, and a back-end's server for messages. Each container has a folder of this machine, in the place of its files.
 */
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import { FakeDockerd } from "../../fakes/dockerd";
import { must, run } from "../../lib/run";
import type { Answer } from "../../unit/agent/http/rig";
import { configOf } from "../../unit/agent/manager/rig";
import { type Berthd, makeNode, type Node } from "../berthd-process";
import { Receiver } from "./callback-rig";
import { GitHost } from "./git-host";
import { freePort } from "./setup-rig";

export const SOON = 90_000;
const IMAGE = `sha256:${"aa".repeat(32)}`;
/** What a container has of its own, and what berthd's scripts write to. */
const PATHS = /\/app(?![\w-])|\/tmp\/\.berth-start|\/proc\/1\/fd\/1/g;

export interface Event {
  id: string;
  event?: string;
  data?: { line: string; timestamp: number };
}

/** What a back-end has: an address and a token. */
export class BackEnd {
  constructor(
    private readonly node: Node,
    readonly port: number,
    readonly token: string,
  ) {}

  ask(method: string, path: string, body?: object): Promise<Answer> {
    return this.node.call(method, path, { port: this.port, token: this.token, ...(body && { body }) });
  }

  /** What comes after a line until enough of it is there. */
  async follow(
    id: string,
    lastEventId: string | undefined,
    enough: (all: Event[]) => boolean,
  ): Promise<Event[]> {
    const ended = new AbortController();
    const response = await fetch(`http://127.0.0.1:${this.port}/api/containers/${id}/logs`, {
      signal: AbortSignal.any([ended.signal, AbortSignal.timeout(SOON)]),
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
      },
    });
    if (response.status !== 200) throw new Error(`the logs: ${response.status} ${await response.text()}`);
    let text = "";
    const decoder = new TextDecoder();
    for await (const part of response.body ?? []) {
      text += decoder.decode(part, { stream: true });
      if (enough(eventsOf(text))) break;
    }
    ended.abort();
    return eventsOf(text);
  }

  terminal(id: string): WebSocket {
    return new WebSocket(`ws://127.0.0.1:${this.port}/api/containers/${id}/terminal`, {
      headers: { authorization: `Bearer ${this.token}` },
    });
  }
}

/** Those that are whole. */
function eventsOf(text: string): Event[] {
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.flatMap((block) => {
    const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    if (fields.id === undefined || fields.data === undefined) return [];
    return [{ id: fields.id, ...(fields.event && { event: fields.event }), data: JSON.parse(fields.data) }];
  });
}

export class BackEndNode {
  readonly dockerd = new FakeDockerd();
  readonly host = new GitHost();
  readonly receiver = new Receiver();
  node!: Node;
  berthd!: Berthd;
  port = 0;
  private pump: NodeJS.Timeout | undefined;
  private nanos = 0;
  private readonly pumped = new Map<string, number>();

  constructor(private readonly programs: string) {}

  /** @param templates whose containers stand ready */
  async start(templates: object[] = []): Promise<this> {
    await this.dockerd.start();
    this.dockerd.images.set("node:24-slim", IMAGE).set(IMAGE, IMAGE);
    await this.host.start();
    await this.receiver.listen();
    this.node = await makeNode(this.programs, 1);
    this.dockerd.execs.inside = (container, text) =>
      text.replace(PATHS, (path) => this.here(container, path));
    this.dockerd.data.unpackTo = (path, bytes) => this.unpack(path, bytes);
    this.port = await freePort();
    const { port } = this.host.host;
    this.node.writeNode({
      tenants: [{ name: "web-ide" }, { name: "bench" }],
      manager: configOf({
        ...{ listen: { address: "127.0.0.1", port: this.port }, url: `http://127.0.0.1:${this.port}` },
        ...{ templates, reserveMiB: 0, callbacks: { allowed: ["127.0.0.1"] } },
        repositories: { hosts: [{ host: "127.0.0.1", port, insecure: true, internal: true }] },
      }),
    });
    await this.begin();
    this.pump = setInterval(() => this.pumpOutputs(), 20);
    return this;
  }

  async begin(): Promise<void> {
    this.berthd = await this.node.start({ BERTH_DOCKER_SOCKET: this.dockerd.socket });
  }

  async kill(): Promise<void> {
    this.berthd.child.kill("SIGKILL");
    await this.berthd.ended;
  }

  async backEnd(owner: string): Promise<BackEnd> {
    const { body } = await this.node.call("POST", "/api/tokens", { body: { role: "tenant", owner } });
    return new BackEnd(this.node, this.port, body.token);
  }

  /** A file or folder of a container, on this machine. */
  here(container: string, path: string): string {
    const folder = join(this.node.folder, "containers", container.slice(-12));
    mkdirSync(folder, { recursive: true });
    if (path === "/proc/1/fd/1") {
      if (!existsSync(join(folder, "output"))) writeFileSync(join(folder, "output"), "");
      return join(folder, "output");
    }
    return join(folder, path);
  }

  /** dockerd's id. */
  containerOf(id: string): string {
    const found = [...this.dockerd.containers.values()].find(({ Name }) => Name?.includes(id));
    if (found === undefined) throw new Error(`dockerd has no container for ${id}`);
    return found.Id;
  }

  async close(): Promise<void> {
    clearInterval(this.pump);
    await this.kill();
    await this.dockerd.close();
    await this.endProcesses();
    await this.host.close();
    await this.receiver.close();
    await this.unmount();
    await this.node.close();
  }

  /** What was put below packages, where this machine has overlays. */
  private async unmount(): Promise<void> {
    const at = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "");
    for (const path of at.filter((one) => one.startsWith(`${this.node.folder}/`)).reverse())
      await run("umount", [path]);
  }

  /** Start commands go on without berthd, as they are to; here no container ends them. */
  private async endProcesses(): Promise<void> {
    const theirs = (pid: string) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${this.node.folder}/containers/`);
      } catch {
        return false;
      }
    };
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && theirs(name))) {
      try {
        process.kill(-Number(pid), "SIGKILL");
      } catch {
        // It ended with another one, or leads no group.
      }
    }
  }

  private async unpack(path: string, bytes: Buffer): Promise<void> {
    const file = join(this.node.folder, "archive.tar");
    writeFileSync(file, bytes);
    mkdirSync(path, { recursive: true });
    await must("tar", ["--extract", `--file=${file}`, "--no-same-owner", `--directory=${path}`]);
    rmSync(file);
  }

  /** dockerd keeps what is written to a container's own output. */
  private pumpOutputs(): void {
    for (const { Id } of this.dockerd.containers.values()) {
      const file = join(this.node.folder, "containers", Id.slice(-12), "output");
      if (!existsSync(file)) continue;
      const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
      for (const line of lines.slice(this.pumped.get(Id) ?? 0)) {
        const nanos = String(this.nanos++ % 1_000_000).padStart(6, "0");
        this.dockerd.data.log(Id, 1, new Date().toISOString().replace("Z", `${nanos}Z`), `${line}\n`);
      }
      this.pumped.set(Id, lines.length);
    }
  }
}

/** What a receiver of messages computes for itself. */
export const signatureOf = (secret: string, body: string) =>
  `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
