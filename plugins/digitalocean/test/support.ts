/** What the tests share: an HTTP server that answers as told, a clock that waits for nothing, and a provider on both. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Bag, type Context, checkInputs, type DiffRequest, type Props } from "@berth/plugin-base";
import { afterEach } from "vitest";
import type { Clock } from "../src/api";

export { realClock } from "../src/api";

import { digitaloceanProvider } from "../src/provider";

export const TOKEN = "dop_v1_0123456789abcdef";

export interface Seen {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly token: string | undefined;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  /** Cuts the connection instead. */
  readonly drop?: boolean;
}

export interface TestServer {
  readonly url: string;
  readonly seen: Seen[];
  /** `POST /v2/droplets` of every request, in order. */
  readonly lines: () => string[];
}

const closers: (() => void)[] = [];

/** Closes what `serve` started after each test of the file that calls this. */
export function closeServers(): void {
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });
}

/** @param answer by request; undefined: 404. */
export async function serve(
  answer: (seen: Seen) => Answer | undefined | Promise<Answer | undefined>,
): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const one: Seen = {
      method: request.method ?? "",
      path: request.url ?? "",
      body: text === "" ? {} : JSON.parse(text),
      token: request.headers.authorization,
    };
    seen.push(one);
    const found = (await answer(one)) ?? {
      status: 404,
      body: { id: "not_found", message: "The resource you were accessing could not be found." },
    };
    if (found.drop === true) return void request.socket.destroy();
    const headers = { "Content-Type": "application/json", ...found.headers };
    response.writeHead(found.status ?? 200, headers);
    response.end(found.body === undefined ? "" : JSON.stringify(found.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    lines: () => seen.map(({ method, path }) => `${method} ${path}`),
  };
}

export interface TestClock extends Clock {
  /** Milliseconds of each pause. */
  readonly slept: number[];
}

/** Pauses take no time, but the clock goes on by them. */
export function testClock(start = 1_800_000_000_000): TestClock {
  let now = start;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    random: () => 0,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      slept.push(ms);
      now += ms;
    },
  };
}

export const bag = (values: Props): Bag => ({ values, secrets: [] });

export function context(name: string, over: Partial<Context> = {}): Context & { readonly said: string[] } {
  const said: string[] = [];
  return {
    urn: `urn:pulumi:dev::berth::digitalocean:index/thing:Thing::${name}`,
    name,
    type: "digitalocean:index/thing:Thing",
    preview: false,
    signal: new AbortController().signal,
    timeoutMs: undefined,
    log: (_severity, message) => void said.push(message),
    said,
    ...over,
  };
}

/** One resource type of a provider that talks to the given server: a process of its own. */
export function resource(kind: string, url: string, clock: Clock = testClock(), config: Props = {}) {
  const spec = digitaloceanProvider({}, clock);
  void spec.configure?.(bag({ token: TOKEN, apiEndpoint: url, ...config }), context("provider"));
  const token = `digitalocean:index/${kind}:${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
  const type = spec.resources[token];
  if (type === undefined) throw new Error(`no resource ${token}`);
  const check = async (values: Props, olds: Props = {}) => {
    const first = checkInputs(token, type.inputs, values);
    const own = await type.check?.({ olds: bag(olds), news: bag(first.inputs) }, context("thing"));
    const failures = [...first.failures, ...(own?.failures ?? [])];
    return { inputs: own?.inputs ?? first.inputs, faults: failures.map((f) => `${f.property} ${f.reason}`) };
  };
  const diff = async (olds: Props, news: Props) => {
    const { inputs } = await check(news);
    const req: DiffRequest = {
      id: String(olds.id ?? "1"),
      olds: bag(olds),
      oldInputs: bag({}),
      news: bag(inputs),
      ignoreChanges: [],
    };
    const result = await type.diff?.(req, context("thing"));
    return Object.fromEntries(
      (result?.changes ?? []).map((c) => [c.path.join("."), c.replace ? "replace" : c.kind]),
    );
  };
  return {
    type,
    /** As the engine ends the plugin's process. */
    end: async () => await spec.close?.(),
    check,
    diff,
    create: async (values: Props, ctx = context("thing")) =>
      type.create({ inputs: bag((await check(values)).inputs) }, ctx),
    read: async (id: string, props: Props = {}, inputs: Props = {}, ctx = context("thing")) => {
      if (type.read === undefined) throw new Error("no read");
      return type.read({ id, props: bag(props), inputs: bag(inputs) }, ctx);
    },
    update: async (id: string, olds: Props, values: Props, ctx = context("thing")) => {
      if (type.update === undefined) throw new Error("no update");
      const news = bag((await check(values, olds)).inputs);
      return type.update({ id, olds: bag(olds), oldInputs: bag({}), news }, ctx);
    },
    delete: (id: string, olds: Props, ctx = context("thing")) =>
      type.delete({ id, olds: bag(olds), oldInputs: bag({}) }, ctx),
  };
}

/** What is thrown, as text. */
export async function thrown(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}
