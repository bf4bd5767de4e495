/** @file Callbacks over a real database and its writer, a clock that a test sets, and receivers of real HTTP. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach } from "vitest";
import { type CallbackMessage, Callbacks, type CallbacksOptions } from "../../../agent/src/callbacks";
import { resolvePublic } from "../../../agent/src/outgoing";
import { Store, StoreError, Turn, Writer } from "../../../agent/src/store";
import type { Refusal, Result } from "../../../core/gpu";
import { until } from "../../lib/until";

export const SECRET = "s3cret-of-alices-back-end";

/** Time goes on when a test says so. */
export class Clock {
  now = Date.UTC(2026, 10, 30);
  /** Milliseconds of each wait, in the order in which they began. */
  readonly waits: number[] = [];
  private readonly sleeping = new Set<{ due: number; wake(): void }>();

  readonly pause = (ms: number, signal: AbortSignal): Promise<void> => {
    this.waits.push(ms);
    return new Promise((resolve) => {
      const one = { due: this.now + ms, wake: () => resolve(void this.sleeping.delete(one)) };
      this.sleeping.add(one);
      if (signal.aborted) one.wake();
      signal.addEventListener("abort", () => one.wake(), { once: true });
    });
  };

  get asleep(): number {
    return this.sleeping.size;
  }

  pass(ms: number): void {
    this.now += ms;
    for (const one of [...this.sleeping]) if (one.due <= this.now) one.wake();
  }

  /** To the next moment at which somebody wakes. */
  passToNext(): void {
    if (this.asleep > 0) this.pass(Math.min(...[...this.sleeping].map(({ due }) => due)) - this.now);
  }
}

export interface Received {
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
  message: CallbackMessage;
}

type Answer = (response: ServerResponse, got: Received) => void;
export const taken: Answer = (response) => response.writeHead(204).end();
export const status =
  (code: number, headers = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end();

/** Somebody's own server. */
export class Receiver {
  readonly got: Received[] = [];
  /** Connections so far, also those without a whole request. */
  connections = 0;
  answer: Answer = taken;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const body = Buffer.concat(parts).toString();
        const got = { path: request.url ?? "", headers: request.headers, body, message: JSON.parse(body) };
        this.got.push(got);
        this.answer(response, got);
      });
    });
    this.server.on("connection", () => this.connections++);
  }

  async listen(address = "127.0.0.1", port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(port, address, resolve));
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** `CONTAINER/SEQUENCE` of what came. */
  get seen(): string[] {
    return this.got.map(({ message }) => `${message.containerId}/${message.sequence}`);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** A berthd as far as it has to do with callbacks; `restart` goes on over the same file. */
export class CallbackNode {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-callbacks-"));
  readonly clock = new Clock();
  readonly logged: { data: object; message: string }[] = [];
  readonly events: Record<string, unknown>[] = [];
  /** Addresses of names; what is not in it is an error. */
  readonly names: Record<string, () => string[]> = {};
  allowed = ["127.0.0.0/8"];
  options: Partial<CallbacksOptions> = {};
  /** Set: rows cannot be written. */
  full: Refusal | undefined;
  /** Done before a row's end is written. */
  beforeNote = async () => {};
  callbacks!: Callbacks;
  private store!: Store;
  private writer!: Writer<Turn>;
  private alive = { yes: false };
  private last = 0;

  constructor() {
    this.open();
  }

  private open(): void {
    const { clock } = this;
    this.store = Store.open({ file: join(this.folder, "ledger.db"), now: clock.now });
    this.writer = new Writer<Turn>({
      store: this.store,
      log: { append: (lines) => this.events.push(...lines.map(({ line }) => JSON.parse(line))), written: 0 },
      nextEvent: this.store.loaded.nextEvent,
      turn: (nextEvent) => new Turn(clock.now, nextEvent),
      nextToken: () => this.store.loaded.nextToken,
      afterCommands: () => {},
      onTrouble: (error) => this.logged.push({ data: {}, message: error.message }),
      onRecovered: () => {},
    });
    const alive = { yes: true };
    this.alive = alive;
    const note = (data: object, message: string) => void this.logged.push({ data, message });
    this.callbacks = new Callbacks({
      rows: this.store.tables.callbacks.all(),
      write: (decide) => this.write(alive, decide),
      resolve: (host) => this.resolve(host),
      log: { warn: note, error: note },
      now: () => clock.now,
      pause: clock.pause,
      ...this.options,
    });
    this.callbacks.start();
  }

  readonly resolve = (host: string) =>
    resolvePublic(host, {
      allowed: this.allowed,
      lookup: async (name) => {
        const found = this.names[name]?.();
        if (found === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
        return found;
      },
      own: () => [],
    });

  private async write(alive: { yes: boolean }, decide: (turn: Turn) => Result<void>): Promise<Result<void>> {
    await this.beforeNote();
    // A process that is gone writes nothing more.
    if (!alive.yes) return new Promise(() => {});
    if (this.full) return { ok: false, refusal: this.full };
    return this.writer.submit(decide);
  }

  /** A message in a turn that is not written. */
  async refused(container: string, url: string): Promise<void> {
    const { store } = this;
    const commit = store.commit;
    store.commit = () => {
      throw new StoreError("full", "no room");
    };
    await this.tell(container, url);
    store.commit = commit;
  }

  /** Messages of a container, each in a turn of its own, as a change of its phase. */
  async tell(
    container: string,
    url: string,
    { count = 1, owner = "alice", message = "" } = {},
  ): Promise<void> {
    for (let n = 0; n < count; n++) {
      const sequence = ++this.last;
      await this.writer.submit((turn) => {
        const target = { url, secret: SECRET };
        const told = { ...anyMessage, containerId: container, sequence, message };
        this.callbacks.add(turn, { owner, target, message: told });
        return { ok: true, value: undefined };
      });
    }
  }

  /** `CONTAINER/SEQUENCE` of what the database has. */
  get kept(): string[] {
    const db = new DatabaseSync(join(this.folder, "ledger.db"), { readOnly: true });
    try {
      const rows = db.prepare("SELECT container, sequence FROM callbacks ORDER BY sequence").all();
      return rows.map(({ container, sequence }) => `${container}/${sequence}`);
    } finally {
      db.close();
    }
  }

  get dropped(): Record<string, unknown>[] {
    return this.events.filter(({ event }) => event === "callback-dropped");
  }

  /** As kill -9: what is under way never hears of its end, and nothing more is written. */
  kill(): void {
    this.alive.yes = false;
    void this.callbacks.close();
    this.writer.close();
    this.store.close();
  }

  restart(): void {
    this.open();
  }

  async end(): Promise<void> {
    await this.callbacks.close();
    this.writer.close();
    this.store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const anyMessage = {
  name: "web",
  repo: "owner/repo",
  branch: "main",
  phase: "cloning",
  status: "running",
  message: "",
  hostPort: 20_000,
  url: "http://192.0.2.1:20000",
  logsUrl: "http://192.0.2.1:8080/api/containers/0a1b2c3d/logs",
};

/** Of the test that runs. */
export let node: CallbackNode;
/** Of the test that runs: on 127.0.0.1. */
export let receiver: Receiver;
/** What ends with the test that runs. */
export const endings: (() => unknown)[] = [];

/** To be called once by a file of tests. */
export function callbacksForEachTest(): void {
  beforeEach(async () => {
    node = new CallbackNode();
    receiver = await listening();
  });
  afterEach(async () => {
    await node.end();
    for (const end of endings.splice(0)) await end();
  });
}

export async function listening(address?: string, port?: number): Promise<Receiver> {
  const made = await new Receiver().listen(address, port);
  endings.push(() => made.close());
  return made;
}

export const urlOf = ({ port }: { port: number }, host = "127.0.0.1") =>
  `http://${host}:${port}/hooks/alice-7f3a?k=hidden`;

export const sent = (count: number) => until(`${count} messages`, 20_000, () => receiver.got.length >= count);
export const asleep = (count = 1) => until("it waits", 20_000, () => node.clock.asleep >= count);
export const none = () =>
  until("none is left", 20_000, () => node.callbacks.size === 0 && node.kept.length === 0);
