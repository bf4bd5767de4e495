import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import fastifySwagger from "@fastify/swagger";
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import { jsonSchemaTransform, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import type { Refusal } from "../../../core/gpu";
import { issueText } from "../../../core/problems";
import type { Logger } from "../log";
import { Rate } from "../rate";
import { type Area, areas } from "./areas";
import { bodyLimit } from "./bodies";
import { admit, type Entered, identify, isTenants, presented, toManager, type Who } from "./door";
import { noSuchPath, Refused } from "./failures";
import type { Identity } from "./identity";
import type { StreamLimits } from "./open-streams";
import { countRequest } from "./rate";
import { pathOf, pathPattern } from "./route";
import { Streams } from "./streams";
import { Tickets } from "./tickets";
import type { RouteContext } from "./types";

export interface AppOptions extends Omit<RouteContext, "tickets" | "streams"> {
  log: Logger;
  version: string;
  /** In place of the usual limits of streams. */
  streamLimits?: Partial<StreamLimits>;
  /** @default all of them */
  areas?: readonly Area[];
  /** Tries without a good token that an address has in a minute. @default 20 */
  mostTries?: number;
  /** Milliseconds since the epoch. @default a clock that is never set back */
  now?(): number;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Null: nobody that is known; only on routes that are open to all. */
    caller: Entered | null;
    /** The caller's. */
    identity: Identity | null;
  }
  interface FastifyContextConfig {
    /** Answered without a token on TCP. */
    open?: boolean;
    /** A stream, which a ticket opens too. */
    stream?: boolean;
    /** For tenants too, who have no other route. What it shows and does for them is the route's to say. */
    tenants?: boolean;
  }
}

export interface App {
  fastify: FastifyInstance;
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Says who is behind a socket. */
  introduce(socket: Socket, who: Who): void;
  /** Whose token or ticket a request over TCP brings; undefined: none that is good. */
  presented(request: IncomingMessage): Identity | undefined;
  /** Takes over what node.json says of tenants' tokens. False: one could not be written down. */
  declareTokens(): Promise<boolean>;
  /** What is wrong with those tokens. */
  tokenProblems(): string[];
  readonly streams: Streams;
}

export async function makeApp(options: AppOptions): Promise<App> {
  const { log, now, mostTries = 20 } = options;
  const connections = new WeakMap<Socket, Who>();
  const tickets = new Tickets(now);
  const streams = new Streams(log, options.streamLimits);
  const requests = new Rate(now);
  const door = { ...options, tickets, tries: new Rate(now), mostTries };
  const fastify = Fastify({
    // A line for each request would cost more than the request; failures are logged below.
    logger: false,
    bodyLimit,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false, caseSensitive: true },
    // A name such as __proto__ in a body is refused, whatever the schema does with it.
    onProtoPoisoning: "error",
    onConstructorPoisoning: "error",
    return503OnClosing: false,
    exposeHeadRoutes: false,
    genReqId: () => "",
    // Paths that the router cannot even read.
    frameworkErrors: (error, _request, reply) => {
      const { status, refusal } = answerTo(error);
      const answer = reply as unknown as FastifyReply;
      void answer
        .code(status)
        .type("application/json; charset=utf-8")
        .send(JSON.stringify({ error: refusal }));
    },
  }).withTypeProvider<ZodTypeProvider>();
  const app = fastify as unknown as FastifyInstance;
  app.setValidatorCompiler(validatorCompiler);
  // Answers are built from typed values; the tests hold every one against its schema.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.removeContentTypeParser("text/plain");
  app.decorateRequest("caller", null);
  app.decorateRequest("identity", null);
  const known = knownPaths(app);

  await app.register(fastifySwagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "berthd",
        version: options.version,
        description: "Grants of the GPUs of one node. Errors are `{ error: Refusal }`.",
      },
      components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
      security: [{ bearer: [] }],
    },
    transform: jsonSchemaTransform,
  });

  const managers = ({ raw }: FastifyRequest) => toManager(connections.get(raw.socket)?.());
  app.addHook("onRequest", async (request) => {
    const who = connections.get(request.raw.socket);
    const caller = identify(request, who, door);
    // A ticket was counted when it was made. Whoever shows no token has only what is open to all, and few connections.
    if (caller && !caller.ticket) countRequest(requests, caller.identity);
    request.caller = admit(request, caller, who?.());
    request.identity = request.caller?.identity ?? null;
  });

  const notFound = (request: FastifyRequest, reply: FastifyReply) => {
    const path = pathOf(request.url);
    const now = movedTo(path);
    if (now !== undefined) {
      const refusal: Refusal = { code: "not-found", message: `${path} is ${now} now.`, allowed: now };
      void reply.code(410).send({ error: refusal });
      return;
    }
    const methods = known(path, managers(request));
    const refusal: Refusal =
      methods.length > 0
        ? {
            code: "not-found",
            message: `${request.method} is not offered here.`,
            allowed: methods.join(", "),
          }
        : noSuchPath(path).refusal;
    if (methods.length > 0) void reply.header("allow", methods.join(", "));
    void reply.code(methods.length > 0 ? 405 : 404).send({ error: refusal });
  };
  app.setNotFoundHandler(notFound);

  app.setErrorHandler((error: FastifyError | Refused, request, reply) => {
    // A method that is not offered is that, whatever its body is like.
    if (request.is404 && !(error instanceof Refused)) {
      notFound(request, reply);
      return;
    }
    const { status, refusal, headers } = answerTo(error);
    if (status >= 500 && !(error instanceof Refused)) {
      log.error({ err: error, method: request.method, url: pathOf(request.url) }, "a request failed");
    } else log.debug({ status, refusal, method: request.method, url: pathOf(request.url) }, "refused");
    void reply.code(status).headers(headers).send({ error: refusal });
  });

  for (const add of options.areas ?? areas) add(app, { ...options, tickets, streams });
  app.get("/openapi.json", { schema: { hide: true }, config: { open: true } }, async (request, reply) => {
    void reply.type("application/json; charset=utf-8");
    return managers(request) ? openapi.tenants : openapi.all;
  });
  await app.ready();
  // Once: everybody may ask for it, and gets the same bytes.
  const openapi = documents(app.swagger(), known);
  return {
    fastify: app,
    handle: (request, response) => app.routing(request, response),
    introduce: (socket, who) => {
      connections.set(socket, who);
    },
    presented: (request) => presented(request, door),
    declareTokens: () => options.tokens.declare(options.node().tenants),
    tokenProblems: () => options.tokens.declaredProblems(options.node().tenants),
    streams,
  };
}

function answerTo(error: FastifyError | Refused): {
  status: number;
  refusal: Refusal;
  headers: Record<string, string>;
} {
  if (error instanceof Refused) {
    return { status: error.statusCode, refusal: error.refusal, headers: error.headers };
  }
  const headers = {};
  if (error.validation) {
    const where = error.validationContext ?? "request";
    const problems = error.validation.map(({ instancePath, message = "is not right" }) => {
      const path = instancePath.split("/").filter((part) => part !== "");
      return issueText({ path: path.map((part) => (/^\d+$/.test(part) ? Number(part) : part)), message });
    });
    return {
      status: 400,
      refusal: {
        code: "bad-request",
        message: `The ${where} is not right: ${[...new Set(problems)].join("; ")}`,
        allowed: "what /openapi.json says of it",
      },
      headers,
    };
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) {
    const large = status === 413;
    return {
      status: large || status === 415 ? status : 400,
      refusal: {
        code: "bad-request",
        message: error.message,
        ...(large && { allowed: `${bodyLimit} bytes; more for what a stack declares` }),
        ...(status === 415 && { allowed: "application/json" }),
      },
      headers,
    };
  }
  return {
    status: 503,
    refusal: {
      code: "closed",
      message: `berthd could not do this: ${error.message}`,
      fix: "See its log: journalctl -u berthd",
    },
    headers,
  };
}

/** Where a path of the first version of this API is now; undefined: it is of this one. */
function movedTo(path: string): string | undefined {
  const old = /^\/v1(\/.*)?$/.exec(path);
  return old ? `/api${(old[1] ?? "").replace(/^\/pool(?=\/|$)/, "/declared")}` : undefined;
}

/** Which methods a path has; `tenants`: at the container manager's listener. */
type KnownPaths = (path: string, tenants: boolean) => string[];

/** By the routes that were added; of several that match, the one that names most of the path. */
function knownPaths(app: FastifyInstance): KnownPaths {
  interface Known {
    pattern: RegExp;
    parameters: number;
    methods: { name: string; tenants: boolean }[];
  }
  const routes = new Map<string, Known>();
  app.addHook("onRoute", ({ url, method, config }) => {
    const route = routes.get(url) ?? {
      pattern: pathPattern(url),
      parameters: url.split(":").length,
      methods: [],
    };
    route.methods.push(...[method].flat().map((name) => ({ name, tenants: isTenants(config) })));
    routes.set(url, route);
  });
  return (path, tenants) => {
    const matching = [...routes.values()].filter(({ pattern }) => pattern.test(path));
    const [first] = matching.sort((a, b) => a.parameters - b.parameters);
    return (first?.methods ?? []).filter((one) => !tenants || one.tenants).map(({ name }) => name);
  };
}

/** The OpenAPI document, whole and with the paths alone that the container manager's listener has. */
function documents(whole: object, known: KnownPaths): { all: Buffer; tenants: Buffer } {
  const { paths = {} } = whole as { paths?: Record<string, Record<string, Operation>> };
  for (const operation of Object.values(paths).flatMap((operations) => Object.values(operations))) {
    const { requestBody } = operation;
    // The document of Fastify says of every body that it is required.
    if (requestBody && mayBeNull(requestBody.content["application/json"]?.schema))
      requestBody.required = false;
  }
  const theirs = Object.entries(paths).flatMap(([path, operations]) => {
    const methods = known(path, true);
    const kept = Object.entries(operations).filter(([method]) => methods.includes(method.toUpperCase()));
    return kept.length > 0 ? [[path, Object.fromEntries(kept)] as const] : [];
  });
  const bytes = (document: object) => Buffer.from(JSON.stringify(document));
  return { all: bytes(whole), tenants: bytes({ ...whole, paths: Object.fromEntries(theirs) }) };
}

interface Operation {
  requestBody?: { required: boolean; content: Record<string, { schema?: BodySchema }> };
}

type BodySchema = { anyOf?: { type?: string }[] };

const mayBeNull = (schema: BodySchema | undefined) =>
  schema?.anyOf?.some(({ type }) => type === "null") === true;
