import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Io } from "../../../../agent/src/cli/io";
import { runCli } from "../../../../agent/src/cli/run";

export interface Seen {
  method: string;
  path: string;
  body: unknown;
}

/** What a request is answered with; undefined: nothing, until the test or the caller ends it. */
type Answer = { status?: number; body?: unknown; text?: string } | undefined;
type Handler = (seen: Seen, request: IncomingMessage, response: ServerResponse) => Answer | Promise<Answer>;

/** A server on a Unix socket that answers as the test says, and remembers what it was asked. */
export class FakeBerthd {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-cli-"));
  readonly socket = join(this.folder, "berthd.sock");
  readonly seen: Seen[] = [];
  private server: Server | undefined;

  /** @param routes by `GET /api/gpus`, without the query; `*` for all others */
  constructor(public routes: Record<string, Handler> = {}) {}

  async start(): Promise<this> {
    const server = createServer((request, response) => void this.answer(request, response));
    this.server = server;
    await new Promise<void>((done, failed) => {
      server.once("error", failed);
      server.listen(this.socket, done);
    });
    return this;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString("utf8");
    const path = request.url ?? "";
    const seen = { method: request.method ?? "", path, body: text === "" ? undefined : JSON.parse(text) };
    this.seen.push(seen);
    const handler = this.routes[`${seen.method} ${path.split("?")[0]}`] ?? this.routes["*"];
    const answer = handler
      ? await handler(seen, request, response)
      : refusal(404, { code: "not-found", message: `no route ${seen.method} ${path}` });
    if (answer === undefined || response.destroyed) return;
    response.writeHead(answer.status ?? 200, { "content-type": "application/json" });
    response.end(answer.text ?? (answer.body === undefined ? "" : JSON.stringify(answer.body)));
  }

  /** The connections too, so that a caller sees berthd go. */
  async stop(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    if (!server) return;
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  asked(method: string, path: string): Seen[] {
    return this.seen.filter((one) => one.method === method && one.path.split("?")[0] === path);
  }
}

export function refusal(status: number, error: Record<string, unknown>): NonNullable<Answer> {
  return { status, body: { error } };
}

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface RunningCli extends Ran {
  done: Promise<Ran>;
  /** Ctrl-C. */
  interrupt(): void;
}

/** `berth` in this process: what it prints so far, and its end. */
export function startBerth(
  words: string[],
  {
    env = {},
    stdin = "",
    live = false,
    now = Date.now,
  }: Partial<Omit<Io, "stdin">> & { stdin?: string } = {},
): RunningCli {
  const listeners = new Set<() => void>();
  const running: RunningCli = {
    code: -1,
    out: "",
    err: "",
    done: Promise.resolve({ code: -1, out: "", err: "" }),
    interrupt: () => {
      for (const listener of [...listeners]) listener();
    },
  };
  const io: Io = {
    env,
    now,
    live,
    out: (text) => {
      running.out += text;
    },
    err: (text) => {
      running.err += text;
    },
    stdin: async () => stdin,
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  running.done = runCli(words, io).then((code) => {
    running.code = code;
    return { code, out: running.out, err: running.err };
  });
  return running;
}

export function berth(words: string[], options: Parameters<typeof startBerth>[1] = {}): Promise<Ran> {
  return startBerth(words, options).done;
}
