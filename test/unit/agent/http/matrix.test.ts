import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../lib/until";
import { inventoryOf } from "../service/rig";
import { type Answer, type Api, makeApi } from "./rig";

const asRoot = process.getuid?.() === 0;
const ask = { kind: "mig", count: 1 };

describe.runIf(asRoot)("who may do what", () => {
  let it_: Api;
  const who = [
    "root",
    "alice",
    "bob",
    "admin-token",
    "service-token",
    "alice-token",
    "expired",
    "revoked",
    "none",
  ] as const;
  type Who = (typeof who)[number];
  const secrets: Partial<Record<Who, string>> = {};
  let now = Date.now();

  beforeAll(async () => {
    it_ = await makeApi({ inventory: inventoryOf(4), mostTries: 10_000 });
    const make = async (name: Who, role: string, more: object = {}) => {
      const made = await it_.call("POST", "/api/tokens", { body: { role, name, ...more } });
      expect(made.status).toBe(201);
      secrets[name] = made.body.token;
      return made.body.id as string;
    };
    await make("admin-token", "admin");
    await make("service-token", "service");
    await make("alice-token", "user", { owner: "alice" });
    await make("expired", "admin", { expires_in_seconds: 1 });
    const revoked = await make("revoked", "admin");
    expect((await it_.call("DELETE", `/api/tokens/${revoked}`)).body.revokedAt).toEqual(expect.any(Number));
    now = Date.now();
    await until("the token is over", 30_000, () => Date.now() > now + 1100);
  });
  afterAll(() => it_.close());

  const as = (name: Who, method: string, path: string, body?: unknown): Promise<Answer> => {
    const through =
      name === "root"
        ? { socket: it_.main }
        : name === "alice" || name === "bob"
          ? { socket: it_.socketOf(name) }
          : { port: it_.servers.port, ...(name !== "none" && { token: secrets[name] }) };
    return it_.call(method, path, { ...through, ...(body !== undefined && { body }) });
  };
  /** Alice's, made by the operator. */
  const granted = async (user = "alice") => {
    const made = await as("root", "POST", "/api/grants", { user, ask });
    expect(made.status).toBe(201);
    return made.body.id as string;
  };

  const strangers: Who[] = ["expired", "revoked", "none"];
  const everybody = (status: number) =>
    Object.fromEntries(who.map((name) => [name, strangers.includes(name) ? 401 : status]));
  const operators = (good: number, service = good) => ({
    root: good,
    "admin-token": good,
    "service-token": service,
    alice: 403,
    bob: 403,
    "alice-token": 403,
    expired: 401,
    revoked: 401,
    none: 401,
  });
  /** Alice and operators may; Bob hears that there is none. */
  const owners = (good: number) => ({ ...operators(good), alice: good, "alice-token": good, bob: 404 });
  /** Alice's name in the request: Bob hears that it is not his. */
  const named = (good: number) => ({ ...owners(good), bob: 403 });

  const matrix: [string, string, () => Promise<[string, string, unknown?]>, Record<string, number>][] = [
    ["GET", "/api/whoami", async () => ["GET", "/api/whoami"], everybody(200)],
    ["GET", "/api/gpus", async () => ["GET", "/api/gpus"], everybody(200)],
    ["GET", "/api/grants", async () => ["GET", "/api/grants"], everybody(200)],
    ["GET", "/api/grants?user=alice", async () => ["GET", "/api/grants?user=alice"], named(200)],
    ["GET", "/api/queue", async () => ["GET", "/api/queue"], everybody(200)],
    ["GET", "/api/history", async () => ["GET", "/api/history"], everybody(200)],
    ["GET", "/api/history?user=alice", async () => ["GET", "/api/history?user=alice"], named(200)],
    ["GET", "/api/limits", async () => ["GET", "/api/limits"], everybody(200)],
    ["GET", "/api/limits/alice", async () => ["GET", "/api/limits/alice"], named(200)],
    [
      "POST",
      "/api/limits/check for alice",
      async () => ["POST", "/api/limits/check", { user: "alice", ask }],
      named(200),
    ],
    [
      "POST",
      "/api/grants for alice",
      async () => ["POST", "/api/grants", { user: "alice", ask }],
      named(201),
    ],
    ["GET", "/api/grants/:alice's", async () => ["GET", `/api/grants/${await granted()}`], owners(200)],
    ["DELETE", "/api/grants/:alice's", async () => ["DELETE", `/api/grants/${await granted()}`], owners(200)],
    [
      "DELETE",
      "/api/grants/:alice's?force=true",
      async () => ["DELETE", `/api/grants/${await granted()}?force=true`],
      { ...operators(200), alice: 403, "alice-token": 403, bob: 404 },
    ],
    [
      "POST",
      "/api/grants/:id/bind",
      async () => {
        const id = await granted();
        const { token } = it_.ledger.grant(id) ?? { token: 0 };
        return ["POST", `/api/grants/${id}/bind`, { token, container: `c${token}` }];
      },
      operators(200),
    ],
    [
      "POST",
      "/api/gpus/:uuid/quarantine",
      async () => ["POST", "/api/gpus/none/quarantine", { reason: "broken" }],
      operators(404, 403),
    ],
    [
      "DELETE",
      "/api/gpus/:uuid/quarantine",
      async () => ["DELETE", "/api/gpus/none/quarantine"],
      operators(409, 403),
    ],
    ["GET", "/api/tokens", async () => ["GET", "/api/tokens"], operators(200, 403)],
    ["POST", "/api/tokens", async () => ["POST", "/api/tokens", { role: "service" }], operators(201, 403)],
    ["DELETE", "/api/tokens/:none", async () => ["DELETE", "/api/tokens/none"], operators(404, 403)],
    [
      "POST",
      "/api/tokens/:none/rotate",
      async () => ["POST", "/api/tokens/none/rotate", {}],
      operators(404, 403),
    ],
    ["POST", "/api/tickets", async () => ["POST", "/api/tickets", { path: "/api/events" }], everybody(201)],
    [
      "POST",
      "/api/tickets for alice",
      async () => ["POST", "/api/tickets", { path: "/api/events", user: "alice" }],
      named(201),
    ],
    ["GET", "/api/declared", async () => ["GET", "/api/declared"], operators(200, 403)],
    ["GET", "/api/held-back", async () => ["GET", "/api/held-back"], operators(200, 403)],
    [
      "POST",
      "/api/declared/plan",
      async () => ["POST", "/api/declared/plan", { declared: [] }],
      operators(200, 403),
    ],
    ["POST", "/api/declared", async () => ["POST", "/api/declared", { declared: [] }], operators(200, 403)],
    ["GET", "/api/containers", async () => ["GET", "/api/containers"], everybody(200)],
    ["GET", "/api/containers?user=alice", async () => ["GET", "/api/containers?user=alice"], named(200)],
    ["GET", "/api/containers/:alice's", async () => ["GET", "/api/containers/c1"], owners(200)],
    ["GET", "/api/containers/:none", async () => ["GET", "/api/containers/none"], everybody(404)],
    [
      "POST",
      "/api/containers for alice",
      async () => ["POST", "/api/containers", { user: "alice", image: "x" }],
      named(201),
    ],
    [
      "POST",
      "/api/containers",
      async () => ["POST", "/api/containers", { image: "x" }],
      { ...operators(400), alice: 201, bob: 201, "alice-token": 201 },
    ],
    ["DELETE", "/api/containers/:alice's", async () => ["DELETE", "/api/containers/c1"], owners(200)],
    ["GET", "/metrics", async () => ["GET", "/metrics"], everybody(200)],
    ["GET", "/health", async () => ["GET", "/health"], { ...everybody(200), none: 200 }],
    ["GET", "/ready", async () => ["GET", "/ready"], { ...everybody(200), none: 200 }],
    ["GET", "/openapi.json", async () => ["GET", "/openapi.json"], { ...everybody(200), none: 200 }],
  ];

  it.each(matrix)("%s %s", async (_method, _path, prepare, expected) => {
    const seen: Record<string, number> = {};
    for (const name of who) {
      const [method, path, body] = await prepare();
      seen[name] = (await as(name, method, path, body)).status;
      for (const grant of it_.ledger.grants()) await it_.ledger.release(grant.id, "tidied", true);
    }
    expect(seen).toEqual(expected);
  });

  it("has a row for each route of the document", () => {
    const rows = matrix.map(
      ([method, path]) => `${method} ${path.replace(/[? ].*/, "").replace(/:.*?(?=\/|$)/g, "{}")}`,
    );
    const routes = Object.entries(it_.contract.document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{.*?\}/g, "{}")}`),
    );
    // Withdrawing a wish has a test of its own below, as it needs one that waits; so have streams, which do not end.
    expect(routes.filter((route) => !rows.includes(route) && !route.includes("/limits/")).sort()).toEqual([
      "DELETE /api/queue/{}",
      "GET /api/events",
    ]);
  });

  it("shows somebody else's grants as taken, and nothing more", async () => {
    const id = await granted("alice");
    const bob = await as("bob", "GET", "/api/gpus");
    expect(bob.text).not.toContain(id);
    expect(bob.text).not.toContain("alice");
    const holders = bob.body.gpus.flatMap(({ holders: all }: { holders: object[] }) => all);
    expect(holders).toEqual([
      { mine: false, state: "reserved", unit: expect.stringMatching(/^MIG-/), memoryMiB: 9984 },
    ]);
    const alice = await as("alice", "GET", "/api/gpus");
    expect(alice.text).toContain(id);
    expect((await as("root", "GET", "/api/gpus")).text).toContain("alice");
    for (const path of ["/api/grants", "/api/history", "/api/limits", "/api/queue"]) {
      expect((await as("bob", "GET", path)).text, path).not.toContain("alice");
    }
    await it_.ledger.release(id, "tidied", true);
  });

  it("makes a container for the caller, whom the creator knows as a person", async () => {
    it_.created.length = 0;
    await as("bob", "POST", "/api/containers", { image: "x" });
    await as("alice-token", "POST", "/api/containers", { image: "x", user: "alice" });
    await as("service-token", "POST", "/api/containers", { image: "x", user: "alice" });
    const token = { actor: expect.stringMatching(/^token:/) };
    expect(it_.created).toEqual([
      { body: { image: "x", user: "bob" }, caller: { actor: "user:bob", user: "bob" } },
      { body: { image: "x", user: "alice" }, caller: { ...token, user: "alice" } },
      { body: { image: "x", user: "alice" }, caller: token },
    ]);
  });

  it("shows people their own containers, and operators all of Berth's", async () => {
    const names = async (name: Who) =>
      (await as(name, "GET", "/api/containers")).body.containers.map((one: { name: string }) => one.name);
    expect(await names("alice")).toEqual(["berth-c1"]);
    expect(await names("bob")).toEqual(["berth-w1"]);
    expect(await names("root")).toEqual(["berth-c1", "berth-w1", "berth-r1"]);
    expect((await as("root", "GET", "/api/containers/others")).status).toBe(404);
    const [theirs, none] = await Promise.all(
      ["c1", "c9"].map((id) => as("bob", "GET", `/api/containers/${id}`)),
    );
    expect(theirs?.text.replace("c1", "c9")).toBe(none?.text);
    expect((await as("alice", "GET", "/api/containers/berth-c1")).body).toEqual({
      ...{ id: "c1", name: "berth-c1", user: "alice", kind: "created", image: "sha256:x", state: "running" },
      ...{ createdAt: 1, startedAt: 2, grant: "g1" },
      ports: [{ container: 80, protocol: "tcp", address: "127.0.0.1", host: 20_000 }],
    });
  });

  it("shows a request's key in the queue to the caller who sent it, and to no other", async () => {
    const all = await Promise.all(Array.from({ length: 28 }, () => granted("alice")));
    const keyed = { ask, wait_seconds: 30, purpose: "the same words" };
    // Two of one person, and one of somebody who guessed the other's key.
    const waiting: Promise<Answer>[] = [];
    for (const [name, idempotency_key] of [
      ["alice", "key-1"],
      ["alice-token", "key-2"],
      ["bob", "key-1"],
      ["alice", undefined],
    ] as const) {
      waiting.push(as(name, "POST", "/api/grants", { ...keyed, idempotency_key }));
      await until("it waits", 30_000, () => it_.ledger.queue().length === waiting.length);
    }
    const keys = async (name: Who) =>
      ((await as(name, "GET", "/api/queue")).body.queue as { position: number; idempotency_key: unknown }[])
        .sort((a, b) => a.position - b.position)
        .map(({ idempotency_key }) => idempotency_key);
    const order = it_.ledger.queue().map(({ actor, idempotencyKey }) => `${actor} ${idempotencyKey}`);
    const at = (start: string) => order.findIndex((one) => one.startsWith(start));
    const only = (start: string, key: string) => order.map((_, i) => (i === at(start) ? key : null));
    expect(await keys("alice")).toEqual(only("user:alice key-1", "key-1"));
    expect(await keys("alice-token")).toEqual(only("token:", "key-2"));
    expect(await keys("bob")).toEqual(only("user:bob", "key-1"));
    for (const name of ["root", "admin-token", "service-token"] as const)
      expect(await keys(name), name).toEqual([null, null, null, null]);
    for (const { id } of it_.ledger.queue()) it_.ledger.cancel(id);
    for (const { status } of await Promise.all(waiting)) expect(status).toBe(409);
    for (const id of all) await it_.ledger.release(id, "tidied", true);
  });

  it("hides in the queue who waits, and lets nobody else withdraw it", async () => {
    const all = await Promise.all(Array.from({ length: 28 }, () => granted("alice")));
    const waiting = as("alice", "POST", "/api/grants", { ask, wait_seconds: 30, purpose: "a secret plan" });
    await until("it waits", 30_000, () => it_.ledger.queue().length === 1);
    const [entry] = it_.ledger.queue();
    const bob = await as("bob", "GET", "/api/queue");
    expect(bob.text).not.toMatch(/alice|secret/);
    expect(bob.body.queue).toHaveLength(1);
    expect((await as("bob", "DELETE", `/api/queue/${entry?.id}`)).status).toBe(404);
    expect(it_.ledger.queue()).toHaveLength(1);
    expect((await as("alice-token", "DELETE", `/api/queue/${entry?.id}`)).status).toBe(200);
    expect((await waiting).status).toBe(409);
    for (const id of all) await it_.ledger.release(id, "tidied", true);
  });

  it("keeps no token anywhere: neither in the database, nor in the log, nor in a list", async () => {
    const list = await as("root", "GET", "/api/tokens");
    expect(list.body.tokens.length).toBeGreaterThanOrEqual(5);
    await it_.events();
    const kept = [
      list.text,
      readFileSync(join(it_.folder, "ledger.db"), "latin1"),
      readFileSync(join(it_.folder, "ledger.db-wal"), "latin1"),
      readFileSync(join(it_.folder, "log", "events.jsonl"), "latin1"),
    ].join();
    for (const secret of Object.values(secrets)) expect(kept).not.toContain(secret);
    // A use is written down.
    expect(list.body.tokens.find(({ name }: { name: string }) => name === "admin-token").lastUsedAt).toEqual(
      expect.any(Number),
    );
  });

  it("refuses a token whose user the stack no longer names", async () => {
    const { users } = it_.node;
    expect((await as("alice-token", "GET", "/api/whoami")).body).toMatchObject({
      role: "user",
      user: "alice",
    });
    it_.node.users = users.filter(({ name }) => name !== "alice");
    expect((await as("alice-token", "GET", "/api/whoami")).status).toBe(401);
    it_.node.users = users;
  });

  it("held every answer above against the document", () => {
    expect(it_.contract.checked).toBeGreaterThan(250);
  });
});
