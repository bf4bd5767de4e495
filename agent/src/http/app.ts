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
import { addAreas } from "./areas";
import { bodyLimit } from "./bodies";
import { Refused } from "./failures";
import type { FailureLimit, Identity, Tokens } from "./identity";
import type { RouteContext } from "./types";

export interface AppOptions extends RouteContext {
  tokens: Tokens;
  failures: FailureLimit;
  log: Logger;
  version: string;
}

/** Who is at the other end of a connection, decided anew for each request; `tcp`: by its token. */
export type Connection =
  | { kind: "known"; identity: Identity }
  | { kind: "stranger"; why: string }
  | { kind: "tcp" };

declare module "fastify" {
  interface FastifyRequest {
    /** Null: nobody that is known; only on routes that are open to all. */
    identity: Identity | null;
  }
  interface FastifyContextConfig {
    /** Answered without a token on TCP. */
    open?: boolean;
  }
}

export interface App {
  fastify: FastifyInstance;
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Says who is behind a socket, before each request. */
  introduce(socket: Socket, connection: Connection): void;
  /** Whose token the request brings; undefined: none that is good. */
  bearer(request: IncomingMessage): Identity | undefined;
}

export async function makeApp(options: AppOptions): Promise<App> {
  const { log } = options;
  const connections = new WeakMap<Socket, Connection>();
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

  app.addHook("onRequest", (request, _reply, done) => {
    const connection = connections.get(request.raw.socket);
    if (connection?.kind === "known") {
      request.identity = connection.identity;
      done();
      return;
    }
    try {
      request.identity = identify(request, connection, options);
      done();
    } catch (error) {
      done(error as Error);
    }
  });

  const notFound = (request: FastifyRequest, reply: FastifyReply) => {
    const path = pathOf(request);
    const now = movedTo(path);
    if (now !== undefined) {
      const refusal: Refusal = { code: "not-found", message: `${path} is ${now} now.`, allowed: now };
      void reply.code(410).send({ error: refusal });
      return;
    }
    const methods = known(path);
    const refusal: Refusal =
      methods.length > 0
        ? {
            code: "not-found",
            message: `${request.method} is not offered here.`,
            allowed: methods.join(", "),
          }
        : {
            code: "not-found",
            message: `There is no ${path} in this API.`,
            allowed: "the paths of /openapi.json",
          };
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
      log.error({ err: error, method: request.method, url: pathOf(request) }, "a request failed");
    } else log.debug({ status, refusal, method: request.method, url: pathOf(request) }, "refused");
    void reply.code(status).headers(headers).send({ error: refusal });
  });

  addAreas(app, options);
  app.get("/openapi.json", { schema: { hide: true }, config: { open: true } }, async (_request, reply) => {
    void reply.type("application/json; charset=utf-8");
    return openapi;
  });
  await app.ready();
  // Once: everybody may ask for it, and gets the same bytes.
  const openapi = Buffer.from(JSON.stringify(app.swagger()));
  return {
    fastify: app,
    handle: (request, response) => app.routing(request, response),
    introduce: (socket, connection) => {
      connections.set(socket, connection);
    },
    bearer: ({ headers }) => {
      const presented = tokenOf(headers.authorization);
      return presented === undefined ? undefined : options.tokens.identify(presented);
    },
  };
}

const tokenOf = (header: string | undefined) => /^Bearer ([\x21-\x7e]+)$/i.exec(header ?? "")?.[1];

/** @throws Refused 401, 403, 429 */
function identify(
  request: FastifyRequest,
  connection: Connection | undefined,
  options: AppOptions,
): Identity | null {
  if (connection?.kind !== "tcp") {
    throw new Refused({
      code: "not-allowed",
      message: connection?.kind === "stranger" ? connection.why : "It is not known who calls.",
      allowed: "root, and the users that the stack declares for this node",
      fix: "Use the socket of your workspace, or ask the operator to declare you in berth:users.",
    });
  }
  const address = request.raw.socket.remoteAddress ?? "";
  const header = request.headers.authorization;
  const presented = tokenOf(header);
  const identity = presented === undefined ? undefined : options.tokens.identify(presented);
  if (identity) return identity;
  if (header === undefined && request.routeOptions.config.open === true) return null;
  options.metrics.authFailed();
  // Those with a good token are served whatever others of the same address do; no token at all is no try.
  const wait = header === undefined ? 0 : options.failures.waits(address);
  if (wait > 0) {
    throw new Refused(
      {
        code: "busy",
        message: `Too many requests without a good token from ${address}.`,
        fix: `Wait ${wait} s, then send a good token.`,
      },
      429,
      { "retry-after": String(wait) },
    );
  }
  if (header !== undefined) options.failures.failed(address);
  throw new Refused(
    {
      code: "not-allowed",
      message:
        header === undefined
          ? "A bearer token is missing."
          : "The bearer token is unknown, expired or revoked.",
      allowed: "Authorization: Bearer berth_…",
      fix: "Make one on the node: berth token create",
    },
    401,
    { "www-authenticate": 'Bearer realm="berthd"' },
  );
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

function pathOf(request: FastifyRequest): string {
  return request.url.split("?", 1)[0] ?? "";
}

/** Which methods a path has, by the routes that were added; of several that match, the one that names most of it. */
function knownPaths(app: FastifyInstance): (path: string) => string[] {
  const routes = new Map<string, { pattern: RegExp; parameters: number; methods: string[] }>();
  app.addHook("onRoute", ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.]/g, "\\.").replace(/:[a-z]+/g, "[^/]+")}$`);
    const route = routes.get(url) ?? { pattern, parameters: url.split(":").length, methods: [] };
    route.methods.push(...[method].flat());
    routes.set(url, route);
  });
  return (path) => {
    const matching = [...routes.values()].filter(({ pattern }) => pattern.test(path));
    return matching.sort((a, b) => a.parameters - b.parameters)[0]?.methods ?? [];
  };
}
