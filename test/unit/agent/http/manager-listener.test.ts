/**
 * The container manager's own listener, on real sockets. Proves: of all routes of the API those alone are there that are for tenants or
 * open to all, to whoever asks, and its document tells of no others; no token but a tenant's is taken, and the answer says so; the
 * listener comes, goes and moves with node.json; whoever fills it takes no connection of the API's.
 */
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Area } from "../../../../agent/src/http/areas";
import { answers, identityOf } from "../../../../agent/src/http/route";
import { get, rawClient } from "../../../lib/stream-client";
import { until } from "../../../lib/until";
import { configOf } from "../manager/rig";
import { api, endAfterEachTest, endings } from "./cases";
import { type Api, call, makeApi } from "./rig";

endAfterEachTest();

const soon = 20_000;
const tenants = [{ name: "web-ide" }, { name: "bench" }];
const said = z.object({ said: z.string() });

/** What parts of the container manager add: a route and streams of tenants, and one of both beside one of operators. */
const area: Area = (app: FastifyInstance, { streams }) => {
  const who = async (request: Parameters<typeof identityOf>[0]) => ({
    said: identityOf(request).tenant ?? "",
  });
  const schema = { response: answers(200, said, "Who calls.") };
  app.get("/test/theirs/:id", { config: { tenants: true }, schema }, who);
  app.delete("/test/theirs/:id", { schema }, who);
  streams.sse(app, "/test/events", {
    description: "Says one thing.",
    guard: { config: { tenants: true } },
    open: async function* () {
      yield { id: "1", data: "{}" };
    },
  });
  streams.webSocket(app, "/test/socket", {
    description: "Ends at once.",
    guard: { config: { tenants: true } },
    open: () => async () => {},
  });
};

const tokenOf = async (
  made: Api,
  wanted: { role: "tenant" | "admin" | "service" | "user"; owner?: string },
) => {
  const token = await made.tokens.create(wanted, "test");
  if (!token.ok) throw new Error(token.refusal.message);
  return token.value.token;
};

const upgrade = {
  ...{ connection: "Upgrade", upgrade: "websocket" },
  ...{ "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
};

describe("the container manager's listener", () => {
  let made: Api;
  let port: number;
  let tenant: string;
  beforeAll(async () => {
    made = await makeApi({ node: { tenants, manager: configOf() }, area });
    port = made.servers.managerPort as number;
    tenant = await tokenOf(made, { role: "tenant", owner: "web-ide" });
  });
  afterAll(() => made.close());
  const ask = (method: string, path: string, more: object = {}) => call(method, path, { port, ...more });

  it("is another one than the API's", () => {
    expect(port).toBeGreaterThan(0);
    expect(port).not.toBe(made.servers.port);
  });

  it("has no route that is not for tenants, whatever the token and the method", async () => {
    const { body: whole } = await made.call("GET", "/openapi.json");
    const routes = Object.entries((whole as { paths: Record<string, object> }).paths).flatMap(
      ([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    routes.push("GET /metrics");
    const theirs = [
      ...["GET /test/theirs/{id}", "GET /test/events", "GET /test/socket"],
      ...["GET /api/containers", "POST /api/containers"],
      ...["GET /api/containers/{id}", "DELETE /api/containers/{id}"],
    ];
    const open = ["GET /health", "GET /ready", "GET /openapi.json"];
    expect(routes).toEqual(expect.arrayContaining([...theirs, "GET /health", "POST /api/tokens"]));
    const hidden = routes.filter((route) => ![...theirs, ...open].includes(route));
    expect(hidden.length).toBeGreaterThan(25);
    for (const route of hidden) {
      const [method = "", pattern = ""] = route.split(" ");
      const path = pattern.replace(/\{\w+\}/g, "c1");
      const answer = await ask(method, path, { token: tenant, ...(method === "GET" ? {} : { body: {} }) });
      const missing = { code: "not-found", message: `There is no ${path} in this API.` };
      expect([route, answer.status, answer.body.error]).toEqual([
        route,
        404,
        expect.objectContaining(missing),
      ]);
    }
  });

  it("tells of no method that is not for tenants", async () => {
    const there = await ask("PUT", "/test/theirs/c1", { token: tenant });
    expect([there.status, there.headers.allow]).toEqual([405, "GET"]);
    expect((await ask("PUT", "/api/tokens", { token: tenant })).status).toBe(404);
  });

  it("has a document with its own paths alone", async () => {
    const { body } = await ask("GET", "/openapi.json");
    const { paths } = body as { paths: Record<string, object> };
    expect(Object.keys(paths).sort()).toEqual([
      "/api/containers",
      "/api/containers/{id}",
      "/health",
      "/ready",
      "/test/events",
      "/test/socket",
      "/test/theirs/{id}",
    ]);
    expect(Object.keys(paths["/test/theirs/{id}"] ?? {})).toEqual(["get"]);
  });

  it("takes a tenant's token, and knows whose it is", async () => {
    expect((await ask("GET", "/test/theirs/c1", { token: tenant })).body).toEqual({ said: "web-ide" });
    const other = await tokenOf(made, { role: "tenant", owner: "bench" });
    expect((await ask("GET", "/test/theirs/c1", { token: other })).body).toEqual({ said: "bench" });
  });

  it.each(["admin", "service", "user"] as const)(
    "takes no token of role %s, on any route, and says what is taken",
    async (role) => {
      const token = await tokenOf(made, { role, ...(role === "user" && { owner: "alice" }) });
      for (const path of [
        "/test/theirs/c1",
        "/api/tokens",
        "/api/whoami",
        "/health",
        "/openapi.json",
        "/nowhere",
      ]) {
        const answer = await ask("GET", path, { token });
        expect([path, answer.status]).toEqual([path, 403]);
        expect(answer.body.error).toMatchObject({
          code: "not-allowed",
          message: `Tokens of role ${role} are not taken at the container manager's port.`,
          allowed: "tokens of tenants",
        });
      }
      // Elsewhere it is what it was.
      expect((await made.call("GET", "/api/whoami", { port: made.servers.port, token })).status).toBe(200);
    },
  );

  it("asks whoever has no token for a tenant's", async () => {
    for (const more of [{}, { token: `berth_${"x".repeat(43)}` }, { token: "ab".repeat(32) }]) {
      const { status, body } = await ask("GET", "/test/theirs/c1", more);
      expect([status, body.error.fix]).toEqual([
        401,
        expect.stringContaining("npm run status -- --env NODE"),
      ]);
    }
    expect((await ask("GET", "/health")).body).toEqual({ status: "ok" });
  });

  it.each([
    ["/test/events", {}, "200"],
    ["/test/socket", upgrade, "101"],
    ["/api/events", {}, "404"],
  ])("opens the stream %s for tenants where it is theirs", async (path, headers, status) => {
    const client = rawClient({ port }, get(path, { authorization: `Bearer ${tenant}`, ...headers }));
    endings.push(() => client.socket.destroy());
    await until("it is answered", soon, () => client.said().includes("\r\n\r\n"));
    expect(/^HTTP\/1\.1 (\d+)/.exec(client.said())?.[1]).toBe(status);
  });
});

describe("node.json", () => {
  it("brings the listener, moves it and takes it away, while berthd runs", async () => {
    const made = await api({ node: { tenants } });
    expect(made.servers.managerPort).toBeUndefined();
    made.node.manager = configOf();
    await made.servers.apply();
    const first = made.servers.managerPort as number;
    expect((await call("GET", "/health", { port: first })).status).toBe(200);
    // The same says nothing new, and nothing is interrupted.
    const before = made.servers.port;
    await made.servers.apply();
    expect([made.servers.managerPort, made.servers.port]).toEqual([first, before]);
    delete made.node.manager;
    await made.servers.apply();
    expect(made.servers.managerPort).toBeUndefined();
    await expect(call("GET", "/health", { port: first })).rejects.toThrow("ECONNREFUSED");
  });

  it("that names an address which is not there leaves the API as it is, and berthd says what is wrong", async () => {
    const made = await api({ node: { tenants } });
    made.node.manager = { ...configOf(), listen: { address: "192.0.2.1", port: 8080 } };
    await made.servers.apply();
    expect(made.servers.problem).toMatch(
      /^the container manager cannot be offered over TCP: .*EADDRNOTAVAIL/,
    );
    expect((await made.call("GET", "/health", { port: made.servers.port })).status).toBe(200);
    made.node.manager = configOf();
    await until("it is tried again", soon, () => made.servers.problem === undefined);
    expect(made.servers.managerPort).toBeGreaterThan(0);
  });
});

it("whoever fills the manager's listener takes no connection of the API's", async () => {
  const made = await api({ node: { tenants, manager: configOf() } });
  const clients = Array.from({ length: 150 }, () =>
    rawClient({ port: made.servers.managerPort as number }, ""),
  );
  endings.push(() => {
    for (const { socket } of clients) socket.destroy();
  });
  // An address has 128 of those that show no token: the oldest give way.
  await until("some had to go", soon, () => clients.filter((client) => client.closed()).length === 22);
  const apis = Array.from({ length: 100 }, () => rawClient({ port: made.servers.port as number }, ""));
  endings.push(() => {
    for (const { socket } of apis) socket.destroy();
  });
  expect((await made.call("GET", "/health", { port: made.servers.port })).status).toBe(200);
  expect(apis.some((client) => client.closed())).toBe(false);
});
