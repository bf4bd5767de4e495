/** berthd's API on real sockets, over a ledger with stand-ins; every answer is held against the OpenAPI document. */
import { mkdirSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import Ajv2020, { type ValidateFunction } from "ajv/dist/2020";
import pino from "pino";
import { z } from "zod";
import { isNamed, mayGo, type NodeConfig } from "../../../../agent/src/config";
import type { ContainerRecord } from "../../../../agent/src/containers";
import { EventFollower } from "../../../../agent/src/event-follow";
import { makeApp, Servers, type StreamLimits, Tokens } from "../../../../agent/src/http";
import { type Area, areas } from "../../../../agent/src/http/areas";
import type { TenantParts } from "../../../../agent/src/http/types";
import type { Logger } from "../../../../agent/src/log";
import { makeMetrics } from "../../../../agent/src/metrics";
import { type AgentPaths, agentPaths, userSocket } from "../../../../agent/src/paths";
import { makeRig, type Rig, type RigOptions } from "../service/rig";

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are checked against their schema, and then read freely.
  body: any;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface CallOptions {
  socket?: string;
  port?: number;
  token?: string;
  body?: unknown;
  /** As it is, instead of `body`. */
  raw?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** One request, as any client makes it. */
export function call(method: string, path: string, options: CallOptions): Promise<Answer> {
  const content = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  return new Promise((resolve, reject) => {
    const sent = request({
      ...(options.socket === undefined
        ? { host: "127.0.0.1", port: options.port }
        : { socketPath: options.socket }),
      method,
      path,
      agent: false,
      signal: options.signal,
      headers: {
        ...(content !== undefined && {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(content),
        }),
        ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
        ...options.headers,
      },
    });
    sent.on("error", reject);
    sent.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("error", reject);
      response.on("end", () => {
        const json = String(response.headers["content-type"]).includes("json");
        resolve({
          status: response.statusCode ?? 0,
          body: json && text !== "" ? JSON.parse(text) : undefined,
          headers: response.headers,
          text,
        });
      });
    });
    sent.end(content);
  });
}

interface OpenApi {
  paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >;
}

/** Says what is wrong with an answer, by the document that promised it. */
export class Contract {
  private readonly ajv = new Ajv2020({ strict: false, validateFormats: false });
  private readonly compiled = new Map<string, ValidateFunction>();
  /** How many answers were checked. */
  checked = 0;
  constructor(readonly document: OpenApi) {}

  check(method: string, path: string, answer: Answer): void {
    const bare = path.split("?")[0] ?? "";
    const patterns = Object.keys(this.document.paths).sort(
      (a, b) => a.split("{").length - b.split("{").length,
    );
    const found = patterns.find((pattern) =>
      new RegExp(`^${pattern.replace(/\{[a-z]+\}/g, "[^/]+")}$`).test(bare),
    );
    const operation = found && this.document.paths[found]?.[method.toLowerCase()];
    if (!found || !operation) {
      if (answer.status >= 200 && answer.status < 300 && !/^\/(metrics|openapi\.json)$/.test(bare)) {
        throw new Error(`${method} ${path} is not in the document, and was answered with ${answer.status}`);
      }
      return;
    }
    const promised = operation.responses[String(answer.status)];
    if (!promised)
      throw new Error(`${method} ${found}: ${answer.status} is not in the document: ${answer.text}`);
    const schema = promised.content?.["application/json"]?.schema;
    if (!schema) throw new Error(`${method} ${found} ${answer.status} has no schema`);
    const key = `${method} ${found} ${answer.status}`;
    const validate = this.compiled.get(key) ?? this.ajv.compile(closed(schema) as object);
    this.compiled.set(key, validate);
    if (!validate(answer.body)) {
      throw new Error(
        `${key} breaks its schema: ${JSON.stringify(validate.errors)} in ${answer.text.slice(0, 500)}`,
      );
    }
    this.checked++;
  }
}

/** A field that the schema does not name is a leak: here it counts as an error. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  if (copy.properties && copy.additionalProperties === undefined) copy.additionalProperties = false;
  return copy;
}

export interface Api extends Rig {
  paths: AgentPaths;
  node: NodeConfig;
  servers: Servers;
  tokens: Tokens;
  contract: Contract;
  main: string;
  socketOf(user: string): string;
  /** A call whose answer is held against the document. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  created: unknown[];
}

/** A container as the registry has it, that runs. */
export const record = (more: Partial<ContainerRecord>): ContainerRecord => ({
  ...{
    id: "c1",
    name: "c1",
    kind: "created",
    image: "sha256:x",
    state: "running",
    createdAt: 1,
    startedAt: 2,
  },
  ports: [{ container: 80, protocol: "tcp", address: "127.0.0.1", host: 20_000 }],
  ...{ units: [], usesGpus: false, privileged: false, runs: true },
  ...more,
});

/** A container manager that serves tenants, with what the test gives; nothing else of it may be called. */
export const tenantParts = (given: Partial<TenantParts>): TenantParts => {
  const others = {
    manager: { config: {}, isLeaving: () => false },
    setups: {},
    commands: {},
    logs: {},
    origins: () => [],
  };
  return { ...(others as unknown as TenantParts), ...given };
};

export interface ApiOptions extends RigOptions {
  node?: Partial<NodeConfig>;
  mostTries?: number;
  /** @default nothing is logged */
  log?: Logger;
  streams?: Partial<StreamLimits>;
  /** Between two looks at the certificate of the container manager. */
  certificateEvery?: number;
  /** Routes beside those of the product. */
  area?: Area;
  /** A container manager, of which the test calls these parts alone. @default the node has none */
  forTenants?: Partial<TenantParts>;
  /** Containers that are known beside those of everybody. */
  known?: readonly ContainerRecord[];
  /** For tokens and tickets, and for what is counted by the minute. */
  now?(): number;
}

export async function makeApi({
  node: more = {},
  mostTries,
  log = pino({ level: "silent" }),
  streams,
  area,
  forTenants,
  known = [],
  now,
  certificateEvery,
  ...options
}: ApiOptions = {}): Promise<Api> {
  const rig = await makeRig(options);
  const paths = agentPaths(join(rig.folder, "root"));
  mkdirSync(paths.configFolder, { recursive: true });
  const node: NodeConfig = {
    stack: "test",
    node: "n1",
    strategy: "least-allocated",
    allocation: "exclusive",
    memoryLimitMiB: 0,
    users: [
      { name: "alice", group: "student" },
      { name: "bob", group: "student" },
    ],
    tenants: [],
    listen: "loopback",
    port: 0,
    reserveSeconds: 600,
    ...more,
  };
  const { ledger, store, limits } = rig;
  const tokens = new Tokens(
    store.tables.tokens,
    (...args) => ledger.saveTokens(...args),
    (what, name) => isNamed(node, what, name),
    (tenant) => !mayGo(node, tenant),
    now,
  );
  const created: unknown[] = [];
  const records = [
    record({ id: "c1", name: "berth-c1", kind: "created", owner: "alice", grant: "g1" }),
    record({ id: "w1", name: "berth-w1", kind: "workspace", owner: "bob", health: "healthy" }),
    record({ id: "r1", name: "berth-r1", kind: "own", owner: "system" }),
    record({ id: "o1", name: "others", kind: "other" }),
    ...known,
  ];
  const app = await makeApp({
    ledger,
    tokens,
    events: new EventFollower(rig.log),
    node: () => node,
    figures: () => [],
    quarantine: (uuid, reason) =>
      uuid === "GPU-0" ? undefined : { code: "not-found", message: `no ${uuid}: ${reason}` },
    restore: (uuid) => ({ code: "conflict", message: `${uuid} is not out of use` }),
    explain: (user) => [
      {
        field: "memory",
        value: null,
        text: "no limit",
        rule: "defaults",
        overrides: [{ rule: "x", value: 1, text: "1", why: user }],
      },
    ],
    limitsProblem: () => limits.problem,
    containers: {
      current: async () => {},
      get: (id) => records.find((one) => [one.id, one.name].includes(id)),
      list: (owner) => records.filter((one) => owner === undefined || one.owner === owner),
    },
    creator: {
      schema: z.strictObject({ user: z.string().optional(), image: z.string() }),
      port: {
        create: async (body, caller) => {
          created.push({ body, caller });
          return { ok: true, value: { id: "c1", name: "berth-c1" } };
        },
        remove: async (id, { user }) =>
          user === undefined || records.some((one) => one.id === id && one.owner === user)
            ? { ok: true, value: { id } }
            : { ok: false, refusal: { code: "not-found", message: `there is no container ${id}` } },
      },
    },
    ...(forTenants && { forTenants: tenantParts(forTenants) }),
    log,
    metrics: makeMetrics({
      grants: () => ledger.live(),
      queueLength: () => ledger.queueLength(),
      gpus: () => ({ total: 1, quarantined: 0 }),
      inventoryAge: () => ledger.inventoryAge(),
      open: () => ledger.closed() === undefined,
      degraded: () => false,
      eventBacklog: () => 0,
    }),
    version: "0.0.0",
    streamLimits: streams,
    ...(area && { areas: [...areas, area] }),
    mostTries,
    now,
  });
  const servers = new Servers({
    app,
    paths,
    node: () => node,
    log,
    ...(certificateEvery && { certificateEvery }),
  });
  await servers.start();
  const contract = new Contract(app.fastify.swagger() as unknown as OpenApi);
  return {
    ...rig,
    paths,
    node,
    servers,
    tokens,
    contract,
    created,
    main: paths.socket,
    socketOf: (user) => userSocket(paths, user),
    call: async (method, path, given = {}) => {
      const over = given.socket === undefined && given.port === undefined ? { socket: paths.socket } : {};
      const answer = await call(method, path, { ...over, ...given });
      contract.check(method, path, answer);
      return answer;
    },
    close: async () => {
      const closing = servers.close(500);
      await ledger.stop();
      await closing;
      await rig.close();
    },
  };
}
