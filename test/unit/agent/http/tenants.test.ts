/**
 * Tokens of role `tenant`, over TCP. Proves: a tenant reaches no route that does not say so by itself, whatever is added
 * to the API, and to what is open to all it is a stranger; a token is good as long as the node names its tenant; limits
 * count for the tenant, however many tokens it has.
 */
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Area } from "../../../../agent/src/http/areas";
import { accountOf, forAll, type Identity, sees } from "../../../../agent/src/http/identity";
import { countRequest } from "../../../../agent/src/http/rate";
import { actsFor, answers, callerOf, identityOf, selfOf } from "../../../../agent/src/http/route";
import { Rate } from "../../../../agent/src/rate";
import { eventsIn, get, rawClient } from "../../../lib/stream-client";
import { until } from "../../../lib/until";
import { api, endAfterEachTest, endings } from "./cases";
import { type Api, type ApiOptions, makeApi } from "./rig";

endAfterEachTest();

const soon = 20_000;
const tenants = [{ name: "web-ide" }, { name: "bench" }];
const said = z.object({ said: z.string() });

/** Routes and streams of tenants beside those of the product, and some that say nothing of tenants. */
const area: Area = (app: FastifyInstance, { streams, tickets }) => {
  const identity = async (request: Parameters<typeof identityOf>[0]) => ({
    said: accountText(identityOf(request)),
  });
  const schema = { response: answers(200, said, "Who calls.") };
  app.get("/test/theirs", { config: { tenants: true }, schema }, identity);
  app.get("/test/plain", { schema }, identity);
  app.post("/test/tickets/:id", { config: { tenants: true }, schema }, async (request) => {
    const path = `/test/events/${(request.params as { id: string }).id}`;
    const made = tickets.make({ ...callerOf(request), path }, accountOf(identityOf(request)));
    return { said: typeof made === "string" ? made : made.ticket };
  });
  for (const [name, more] of [
    ["theirs", { guard: { config: { tenants: true } } }],
    ["plain", {}],
  ] as const) {
    streams.sse(app, `/test/events/${name}`, {
      description: "Says who listens.",
      ...more,
      open: async function* (_asked, { identity: who, signal }) {
        yield { id: "1", data: JSON.stringify({ message: accountText(who) }) };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    streams.webSocket(app, `/test/socket/${name}`, {
      description: "Ends at once.",
      ...more,
      open: () => async () => {},
    });
  }
};
const accountText = ({ role, tenant, user }: { role: string; tenant?: string; user?: string }) =>
  JSON.stringify({ role, tenant, user });
const isIde = JSON.stringify({ role: "tenant", tenant: "web-ide" });

const withTenants = (more: ApiOptions = {}) => api({ node: { tenants: [...tenants] }, area, ...more });

async function tokenOf(made: Api, owner = "web-ide"): Promise<{ id: string; token: string }> {
  const answer = await made.call("POST", "/api/tokens", { body: { role: "tenant", owner } });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
}
/** What is open to everybody. */
const OPEN = ["GET /health", "GET /ready", "GET /openapi.json"];

describe("with a token of a tenant", () => {
  let made: Api;
  let token: string;
  beforeAll(async () => {
    made = await makeApi({ node: { tenants }, area });
    ({ token } = await tokenOf(made));
  });
  afterAll(() => made.close());
  const ask = (method: string, path: string, more: object = {}) =>
    made.call(method, path, { port: made.servers.port, token, ...more });

  it("every route of the document is refused, but what is open to all and what says that it is theirs", async () => {
    const { paths } = (await ask("GET", "/openapi.json")).body as { paths: Record<string, object> };
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    // Those that the document does not tell of.
    routes.push("GET /metrics");
    expect(routes.length).toBeGreaterThan(30);
    const theirs = [
      "POST /test/tickets/{id}",
      "GET /test/theirs",
      "GET /test/events/theirs",
      "GET /test/socket/theirs",
    ];
    expect(routes).toEqual(expect.arrayContaining([...theirs, "GET /health", "POST /api/tickets"]));
    for (const route of routes.filter((one) => !OPEN.includes(one) && !theirs.includes(one))) {
      const [method = "", pattern = ""] = route.split(" ");
      const path = pattern.replaceAll("{user}", "alice").replace(/\{\w+\}/g, "c1");
      for (const body of method === "GET" ? [undefined] : [undefined, {}, { user: "alice", image: "x" }]) {
        const answer = await ask(method, path, { body });
        expect([route, answer.status]).toEqual([route, 403]);
        expect(answer.body).toEqual({
          error: {
            code: "not-allowed",
            message: "This is not for tokens of role tenant.",
            fix: "Ask the operator of the node.",
          },
        });
      }
    }
    expect([made.ledger.grants(), made.created]).toEqual([[], []]);
  });

  it("what is open to all says what it says to strangers", async () => {
    made.limits.problem = "the limits of alice are broken";
    for (const route of OPEN) {
      const [method = "", path = ""] = route.split(" ");
      const [theirs, strangers] = [
        await ask(method, path),
        await made.call(method, path, { port: made.servers.port }),
      ];
      expect([theirs.status, theirs.text]).toEqual([strangers.status, strangers.text]);
    }
    made.limits.problem = undefined;
    expect((await ask("GET", "/nowhere")).status).toBe(404);
    expect((await ask("PUT", "/api/grants")).status).toBe(405);
  });

  it("a route that says so knows which tenant calls; others reach it as before", async () => {
    expect((await ask("GET", "/test/theirs")).body).toEqual({ said: isIde });
    const service = await made.tokens.create({ role: "service" }, "test");
    const program = service.ok ? service.value.token : "";
    for (const path of ["/test/theirs", "/test/plain"]) {
      const { body } = await ask("GET", path, { token: program });
      expect(body).toEqual({ said: JSON.stringify({ role: "service" }) });
    }
  });

  it.each(["/test/events/plain", "/api/events", "/test/socket/plain"])(
    "the stream %s does not open",
    async (path) => {
      const upgrade = path.includes("socket")
        ? {
            ...{ connection: "Upgrade", upgrade: "websocket" },
            ...{ "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
          }
        : {};
      const client = rawClient(
        { port: made.servers.port as number },
        get(path, { authorization: `Bearer ${token}`, ...upgrade }),
        true,
      );
      endings.push(() => client.socket.destroy());
      await until("it is answered", soon, () => client.said().includes("\r\n\r\n"));
      expect(client.said()).toMatch(/^HTTP\/1\.1 403 /);
    },
  );

  it.each(["over TCP", "on root's socket"])(
    "a ticket opens what is theirs, and nothing else, %s",
    async (way) => {
      const to = way === "over TCP" ? { port: made.servers.port as number } : { path: made.main };
      for (const [name, status] of [
        ["theirs", "200"],
        ["plain", "403"],
      ] as const) {
        const { body } = await ask("POST", `/test/tickets/${name}`, { body: {} });
        const client = rawClient(to, get(`/test/events/${name}?ticket=${body.said}`, {}), true);
        endings.push(() => client.socket.destroy());
        await until("it is answered", soon, () => client.said().includes("\r\n\r\n"));
        expect(/^HTTP\/1\.1 (\d+)/.exec(client.said())?.[1]).toBe(status);
      }
    },
  );

  it.each([
    ["/test/events/theirs", /^HTTP\/1\.1 200 /],
    ["/test/socket/theirs", /^HTTP\/1\.1 101 /],
  ])("the stream %s opens, as it says so", async (path, status) => {
    const client = rawClient(
      { port: made.servers.port as number },
      get(path, {
        authorization: `Bearer ${token}`,
        ...(path.includes("socket") && {
          ...{ connection: "Upgrade", upgrade: "websocket" },
          ...{ "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
        }),
      }),
      true,
    );
    endings.push(() => client.socket.destroy());
    await until("it is answered", soon, () => status.test(client.said()));
    if (path.includes("events"))
      await until("it says who", soon, () => eventsIn(client.said())[0]?.data.message === isIde);
  });
});

it("a tenant has no right of a user, an operator or a program, on a route that lets it in and asks no more", () => {
  const tenant: Identity = { role: "tenant", tenant: "web-ide", actor: "token:abc" };
  expect([forAll(tenant), sees(tenant, "alice"), sees(tenant, "web-ide")]).toEqual([false, false, false]);
  for (const user of [undefined, "alice", "web-ide"])
    expect(() => actsFor(tenant, user)).toThrow("This is not for role tenant.");
  expect(() => selfOf(tenant)).toThrow("This is not for role tenant.");
  expect(accountOf(tenant)).toBe("tenant:web-ide");
  expect(accountOf({ role: "user", user: "web-ide", actor: "x" })).not.toBe(accountOf(tenant));
});

describe("a token of a tenant", () => {
  it("is made for a tenant of the node alone", async () => {
    const made = await withTenants();
    const make = (body: object) => made.call("POST", "/api/tokens", { body: { role: "tenant", ...body } });
    expect(await make({})).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("needs an owner: the tenant") } },
    });
    for (const owner of ["alice", "nobody"])
      expect(await make({ owner })).toMatchObject({
        status: 422,
        body: {
          error: {
            code: "unknown-user",
            message: `${owner} is not a tenant of this node.`,
            allowed: "the tenants that /etc/berth/agent/node.json names",
            fix: expect.stringContaining("berth:manager.tenants of the stack"),
          },
        },
      });
    const user = await made.call("POST", "/api/tokens", { body: { role: "user", owner: "web-ide" } });
    expect([user.status, user.body.error.allowed]).toEqual([422, "the users that the stack declares for it"]);
    expect(made.tokens.list()).toEqual([]);
    expect((await make({ owner: "web-ide" })).body).toMatchObject({ role: "tenant", owner: "web-ide" });
  });

  it("is good as long as the node names its tenant, and so is what it has open", async () => {
    const made = await withTenants();
    const port = made.servers.port as number;
    const { id, token } = await tokenOf(made);
    const client = rawClient(
      { port },
      get("/test/events/theirs", { authorization: `Bearer ${token}` }),
      true,
    );
    endings.push(() => client.socket.destroy());
    await until("it has begun", soon, () => eventsIn(client.said()).length === 1);
    made.node.tenants = [{ name: "bench" }];
    await until("it ends", soon, () => eventsIn(client.said()).at(-1)?.data.code === "not-allowed");
    expect((await made.call("GET", "/test/theirs", { port, token })).status).toBe(401);
    expect(await made.tokens.rotate(id, 0, "root")).toMatchObject({
      refusal: {
        message: `Token ${id} stands for web-ide, no tenant now.`,
        fix: "Make a new one: berth token create --role tenant --tenant NAME",
      },
    });
    // Nor does it become a user's, where somebody comes who has the name.
    made.node.users = [...made.node.users, { name: "web-ide" }];
    expect((await made.call("GET", "/test/theirs", { port, token })).status).toBe(401);
    made.node.users = made.node.users.filter(({ name }) => name !== "web-ide");
    made.node.tenants = [...tenants];
    expect((await made.call("GET", "/test/theirs", { port, token })).status).toBe(200);
  });

  it("shares its tenant's limit of streams with the tenant's other tokens, and no other tenant's", async () => {
    const made = await withTenants({ streams: { tenant: 2 } });
    const port = made.servers.port as number;
    const open = (token: string) => {
      const client = rawClient(
        { port },
        get("/test/events/theirs", { authorization: `Bearer ${token}` }),
        true,
      );
      endings.push(() => client.socket.destroy());
      return until("it is answered", soon, () => client.said().includes("\r\n\r\n")).then(
        () => /^HTTP\/1\.1 (\d+)/.exec(client.said())?.[1],
      );
    };
    const [one, two, other] = [await tokenOf(made), await tokenOf(made), await tokenOf(made, "bench")];
    const seen = [];
    for (const { token } of [one, two, one, two, other]) seen.push(await open(token));
    expect(seen).toEqual(["200", "200", "429", "429", "200"]);
  });

  it("sends as many requests a minute as a program, or as it was made for; refused ones count", async () => {
    const made = await withTenants();
    const port = made.servers.port as number;
    const { body } = await made.call("POST", "/api/tokens", {
      body: { role: "tenant", owner: "web-ide", requests_per_minute: 3 },
    });
    const seen = [];
    for (let n = 0; n < 5; n++)
      seen.push((await made.call("GET", "/api/grants", { port, token: body.token })).status);
    expect(seen).toEqual([403, 403, 403, 429, 429]);
  });

  it("sends as many over all of its tokens, also over one in place of another", async () => {
    const made = await withTenants({ now: () => 1_800_000_000_000 });
    const port = made.servers.port as number;
    const make = async (owner: string) => {
      const body = { role: "tenant", owner, requests_per_minute: 4 };
      return (await made.call("POST", "/api/tokens", { body })).body as { id: string; token: string };
    };
    const [one, two, other] = [await make("web-ide"), await make("web-ide"), await make("bench")];
    const heir = (await made.call("POST", `/api/tokens/${one.id}/rotate`, { body: {} })).body;
    const seen = [];
    for (const { token } of [one, two, heir, one, one, two, heir, other])
      seen.push((await made.call("GET", "/test/theirs", { port, token })).status);
    expect(seen).toEqual([200, 200, 200, 200, 429, 429, 429, 200]);
    const { error } = (await made.call("GET", "/test/theirs", { port, token: heir.token })).body;
    expect(error.message).toContain("tenant:web-ide has sent");
  });

  it("sends as many as a program over all of its tokens; programs have as many with each", () => {
    const rate = new Rate(() => 0);
    const count = (role: "tenant" | "service", n: number) =>
      countRequest(rate, { role, actor: `token:${n}`, ...(role === "tenant" && { tenant: "web-ide" }) });
    for (let n = 0; n < 6000; n++) count("tenant", n % 3);
    for (const n of [0, 1, 2, 3]) expect(() => count("tenant", n)).toThrow("tenant:web-ide has sent");
    for (let n = 0; n < 12_000; n++) count("service", n % 2);
    for (const n of [0, 1]) expect(() => count("service", n)).toThrow(`token:${n} has sent`);
  });

  it("is not refused with one token for what it sent with another that was made for a number of its own", async () => {
    const made = await withTenants();
    const port = made.servers.port as number;
    const few = await made.call("POST", "/api/tokens", {
      body: { role: "tenant", owner: "web-ide", requests_per_minute: 2 },
    });
    const { token } = await tokenOf(made);
    const seen = [];
    for (const one of [token, token, token, few.body.token, few.body.token, few.body.token, token])
      seen.push((await made.call("GET", "/test/theirs", { port, token: one })).status);
    expect(seen).toEqual([200, 200, 200, 200, 200, 429, 200]);
  });
});
