/** HTTP: reads a request, finds its operation, checks both sides against the description, answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { ApiError, forbidden, notFound, rateLimited, unauthorized, unprocessable } from "./errors";
import { errorOf, type Fault, type Faults } from "./faults";
import type { RateLimiter } from "./limits";
import { Body, type Route, routes } from "./routes";
import type { Description, Operation } from "./shapes";
import type { World } from "./world";

/** A request as it came, for tests to look at. Never with its token. */
export interface SeenRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** Answered status; undefined when the connection was cut. */
  status?: number;
}

export interface ServerParts {
  readonly world: World;
  readonly description: Description;
  readonly limiter: RateLimiter;
  readonly faults: Faults;
  /** Scopes by token; `all` for a token with full access. */
  readonly tokens: ReadonlyMap<string, readonly string[] | "all">;
  readonly requests: SeenRequest[];
  /** Where differences from the description go. */
  readonly violations: string[];
}

interface Match {
  readonly route: Route;
  readonly operation: Operation;
  readonly params: Record<string, string>;
}

/** Finds routes; at equal length a literal segment goes before a parameter, as `droplets/actions` before an id. */
class Router {
  private readonly entries: { route: Route; operation: Operation; segments: string[] }[];

  constructor(private readonly description: Description) {
    const unknown = routes.filter(({ method, path }) => description.operation(method, path) === undefined);
    if (unknown.length > 0)
      throw new Error(
        `the description has no ${unknown.map(({ method, path }) => `${method} ${path}`).join(", ")}; mend test/fakes/digitalocean/routes`,
      );
    this.entries = routes.map((route) => ({
      route,
      operation: description.operation(route.method, route.path) as Operation,
      segments: route.path.split("/"),
    }));
    const parameters = (segments: string[]) =>
      segments.map((part) => (part.startsWith("{") ? "1" : "0")).join("");
    this.entries.sort((one, other) => parameters(one.segments).localeCompare(parameters(other.segments)));
  }

  find(method: string, path: string): Match | undefined {
    const given = path.split("/");
    for (const { route, operation, segments } of this.entries) {
      if (route.method !== method || segments.length !== given.length) continue;
      const params: Record<string, string> = {};
      const fits = segments.every((segment, index) => {
        const part = given[index] as string;
        if (!segment.startsWith("{")) return segment === part;
        params[segment.slice(1, -1)] = decodeURIComponent(part);
        return part !== "";
      });
      if (fits) return { route, operation, params };
    }
    return undefined;
  }

  /** Whether the API has such an operation, which this server then just does not play. */
  described(method: string, path: string): boolean {
    return this.description.operations.some(({ name }) => {
      const pattern = name.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{[^}]+\}/g, "[^/]+");
      return new RegExp(`^${pattern}$`).test(`${method} ${path}`);
    });
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new ApiError(400, "Unable to parse request body.");
  }
}

function headersOf(request: IncomingMessage): Record<string, string> {
  const { authorization: _, ...rest } = request.headers;
  return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, String(value)]));
}

interface Answer {
  status: number;
  body?: unknown;
  headers: Record<string, string>;
}

/** Makes the server; it is not listening yet. */
export function makeServer(parts: ServerParts): Server {
  const { world, limiter, faults, tokens, requests, violations } = parts;
  const router = new Router(parts.description);

  const scopesOf = (request: IncomingMessage): readonly string[] | "all" => {
    const [, token = ""] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    const scopes = tokens.get(token);
    if (scopes === undefined) throw unauthorized();
    return scopes;
  };

  const dispatch = (match: Match, url: URL, body: unknown, scopes: readonly string[] | "all"): Answer => {
    const { route, operation, params } = match;
    const need = (scope: string) => {
      if (scopes !== "all" && !scopes.includes(scope)) throw forbidden();
    };
    for (const scope of route.scopes) need(scope);
    const problems = operation.checkRequest(new Set(url.searchParams.keys()), body);
    if (problems.length > 0) {
      violations.push(...problems);
      throw unprocessable(`not as described: ${problems.join("; ")}`);
    }
    const values = (body ?? {}) as Record<string, unknown>;
    const call = { world, params, path: url.pathname, query: url.searchParams, body: new Body(values), need };
    // A snapshot: what a handler gives shares objects with the state, which goes on changing.
    const result = route.handle(call);
    const answer = route.status === 204 ? undefined : JSON.parse(JSON.stringify(result));
    return { status: route.status, body: answer, headers: {} };
  };

  const answerTo = (request: IncomingMessage, url: URL, body: unknown, fault: Fault | undefined): Answer => {
    const method = request.method ?? "GET";
    const listsKeys = method === "GET" && url.pathname === "/v2/account/keys";
    const verdict = limiter.judge(request.headers.authorization ?? "", listsKeys);
    const headers: Record<string, string> = { ...verdict.headers };
    const match = router.find(method, url.pathname);
    let answer: Answer;
    try {
      const scopes = scopesOf(request);
      if (fault?.kind === "rate-limit") {
        headers["ratelimit-remaining"] = "0";
        headers["retry-after"] = String(fault.retryAfter ?? 0);
      }
      const failure = fault && errorOf(fault);
      if (failure !== undefined) throw failure;
      if (verdict.refused) throw rateLimited();
      if (match === undefined) {
        if (router.described(method, url.pathname))
          throw new ApiError(501, `the test API does not play ${method} ${url.pathname}`);
        violations.push(`${method} ${url.pathname}: the API has no such operation`);
        throw notFound();
      }
      answer = dispatch(match, url, body, scopes);
    } catch (error) {
      const known = error instanceof ApiError ? error : new ApiError(500, "Unexpected server-side error");
      if (known !== error)
        violations.push(`${method} ${url.pathname}: the test API failed: ${(error as Error).stack}`);
      const id = world.ids.uuid("request");
      answer = {
        status: known.status,
        body: { id: known.id, message: known.message, request_id: id },
        headers: {},
      };
    }
    if (match !== undefined) violations.push(...match.operation.checkResponse(answer.status, answer.body));
    return { ...answer, headers: { ...headers, ...answer.headers } };
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const method = request.method ?? "GET";
    let body: unknown;
    let unreadable: unknown;
    try {
      body = await readBody(request);
    } catch (error) {
      unreadable = error;
    }
    const query = Object.fromEntries(url.searchParams);
    const seen: SeenRequest = { method, path: url.pathname, query, body, headers: headersOf(request) };
    requests.push(seen);
    const fault =
      unreadable instanceof ApiError
        ? ({ kind: "error", status: unreadable.status, message: unreadable.message } as const)
        : faults.strike(method, url.pathname);
    if (fault?.kind === "cut") {
      request.socket.destroy();
      return;
    }
    const answer = answerTo(request, url, body, fault);
    if (fault?.kind === "lost-answer") {
      request.socket.destroy();
      return;
    }
    seen.status = answer.status;
    const text = answer.body === undefined ? "" : JSON.stringify(answer.body);
    response.writeHead(answer.status, {
      ...(text !== "" && { "content-type": "application/json; charset=utf-8" }),
      ...answer.headers,
    });
    response.end(text);
  };

  return createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      violations.push(`${request.method} ${request.url}: the test API failed: ${String(error)}`);
      response.destroy();
    });
  });
}
