/**
 * The container manager's part of the API, over real sockets; every answer is held against the OpenAPI document. Proves: who may call
 * what; a tenant is told of another's container what it is told of none; the shape of users and programs is what it was; a node that
 * is full answers 503 and when to try again; what is sent is bounded.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configOf, ManagerRig, template } from "../manager/rig";
import { type Answer, type Api, makeApi, record } from "./rig";

const asRoot = process.getuid?.() === 0;

describe.runIf(asRoot)("the container manager over HTTP", () => {
  let rig: ManagerRig;
  let api: Api;
  const secrets: Record<string, string> = {};

  beforeAll(async () => {
    rig = new ManagerRig();
    rig.config = configOf({ templates: [template({ targetSize: 1 })] });
    await rig.start();
    const theirs = record({
      id: "d1".repeat(32),
      name: "berth-test-web.x",
      owner: "web",
      creation: "0badcafe",
    });
    api = await makeApi({
      node: { tenants: [{ name: "web" }, { name: "bench" }] },
      forTenants: { manager: rig.manager },
      known: [theirs],
      mostTries: 10_000,
    });
    for (const [name, body] of Object.entries({
      web: { role: "tenant", owner: "web" },
      bench: { role: "tenant", owner: "bench" },
      alice: { role: "user", owner: "alice" },
      service: { role: "service" },
    }))
      secrets[name] = (await api.call("POST", "/api/tokens", { body })).body.token;
    await rig.ready(1);
  });
  afterAll(async () => {
    await api.close();
    await rig.close();
  });

  const as = (who: string, method: string, path: string, body?: unknown): Promise<Answer> =>
    who === "root"
      ? api.call(method, path, { ...(body !== undefined && { body }) })
      : api.call(method, path, {
          port: api.servers.port,
          token: secrets[who],
          ...(body !== undefined && { body }),
        });
  const create = (more: object = {}, who = "web") =>
    as(who, "POST", "/api/containers", { name: "app", image: "python:3.13", ...more });

  it("makes a container for a tenant, which it sees from then on", async () => {
    const made = await create({ ports: [3000, 8080] });
    expect(made.status).toBe(201);
    const { id, ports, hostPort } = made.body;
    expect(made.body).toEqual({
      ...{ id, name: "app", status: "running", image: "python:3.13", fromPool: false, pool: false },
      ...{ memoryMiB: 512, cpus: 1, createdAt: expect.any(Number), hostPort, ports },
      logsUrl: `http://node.test:8080/api/containers/${id}/logs`,
      terminalUrl: `ws://node.test:8080/api/containers/${id}/terminal`,
    });
    expect([Object.keys(ports), hostPort]).toEqual([["3000", "8080"], ports[3000]]);
    expect((await as("web", "GET", `/api/containers/${id}`)).body).toEqual(made.body);
    expect((await as("web", "GET", "/api/containers")).body.containers).toEqual([made.body]);
    expect((await as("web", "POST", `/api/containers/${id}/stop`)).body.status).toBe("stopped");
    expect((await as("web", "POST", `/api/containers/${id}/start`)).body.status).toBe("running");
    expect((await as("web", "DELETE", `/api/containers/${id}`)).body).toEqual({ id });
    expect((await as("web", "GET", "/api/containers")).body).toEqual({ containers: [] });
  });

  it("gives one of the pool, and says so", async () => {
    const claimed = await as("web", "POST", "/api/containers/claim", { name: "mine" });
    expect([claimed.status, claimed.body.fromPool, claimed.body.template]).toEqual([201, true, "node"]);
    await rig.ready(1);
    const made = await as("bench", "POST", "/api/containers", { name: "app" });
    expect([made.status, made.body.fromPool]).toEqual([201, true]);
    await as("web", "DELETE", `/api/containers/${claimed.body.id}`);
    await as("bench", "DELETE", `/api/containers/${made.body.id}`);
  });

  it("tells another tenant of a container what it tells of none", async () => {
    const { id } = (await create()).body;
    const none = id === "00000000" ? "00000001" : "00000000";
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/stop"],
      ["POST", "/start"],
    ] as const) {
      const [theirs, nobodys] = await Promise.all(
        [id, none].map((one) => as("bench", method, `/api/containers/${one}${path}`)),
      );
      expect([theirs?.status, theirs?.text]).toEqual([404, nobodys?.text.replaceAll(none, id)]);
    }
    expect((await as("bench", "GET", "/api/containers")).text).not.toContain(id);
    // Nor are users' containers and Docker's ids anything to a tenant.
    for (const other of ["c1", "berth-c1", "d1".repeat(32), "%2e%2e", "0badcafe"])
      expect((await as("web", "GET", `/api/containers/${other}`)).status).toBe(404);
    expect((await as("web", "GET", `/api/containers/${id}`)).body.status).toBe("running");
    expect((await as("web", "DELETE", `/api/containers/${id}`)).status).toBe(200);
  });

  it.each([
    ["GET", "/api/pool", { root: 200, service: 200, web: 200, alice: 403 }],
    ["GET", "/api/capacity", { root: 200, service: 200, web: 200, alice: 403 }],
    ["GET", "/api/images", { root: 200, service: 200, web: 200, alice: 403 }],
    ["POST", "/api/containers/claim", { root: 403, service: 403, alice: 403 }],
    ["POST", "/api/containers/0badcafe/stop", { root: 403, service: 403, web: 404, alice: 403 }],
    ["POST", "/api/containers/0badcafe/start", { root: 403, service: 403, web: 404, alice: 403 }],
  ])("%s %s is for %j", async (method, path, expected) => {
    const seen = Object.fromEntries(
      await Promise.all(
        Object.keys(expected).map(async (who) => [
          who,
          (await as(who, method, path, method === "POST" && path.endsWith("claim") ? {} : undefined)).status,
        ]),
      ),
    );
    expect(seen).toEqual(expected);
    const stranger = await api.call(method, path, { port: api.servers.port });
    expect(stranger.status).toBe(401);
  });

  it("takes of users and programs what it took, and gives what it gave", async () => {
    api.created.length = 0;
    const users = await as("alice", "POST", "/api/containers", { image: "x" });
    expect([users.status, users.body]).toEqual([201, { id: "c1", name: "berth-c1" }]);
    expect(api.created).toMatchObject([{ body: { image: "x", user: "alice" } }]);
    // A tenant's fields are none of theirs, nor theirs a tenant's.
    const wrong = await as("alice", "POST", "/api/containers", { name: "x", ports: [3000] });
    expect([wrong.status, wrong.body.error.code]).toEqual([400, "bad-request"]);
    const theirs = await as("web", "POST", "/api/containers", { name: "x", user: "alice", mounts: ["/"] });
    expect([theirs.status, theirs.body.error.message]).toEqual([
      400,
      expect.stringMatching(/^The body is not right: .*user.*mounts/),
    ]);
    expect(
      (await as("root", "GET", "/api/containers")).body.containers.map((one: { id: string }) => one.id),
    ).toContain("c1");
    expect((await as("alice", "GET", "/api/containers/c1")).body).toMatchObject({
      user: "alice",
      kind: "created",
    });
  });

  it("says what is wrong with a body all at once, and takes none without end", async () => {
    const wrong = await create({ name: "", memory: 1, cpus: -1 });
    expect([wrong.status, wrong.body.error.message]).toEqual([
      400,
      expect.stringMatching(/name.*memory.*cpus|memory.*/),
    ]);
    for (const field of ["name", "memory", "cpus"]) expect(wrong.body.error.message).toContain(field);
    expect((await create({ env: { A: "x".repeat(300_000) } })).status).toBe(413);
    expect(
      (
        await create({
          env: Object.fromEntries(Array.from({ length: 5 }, (_, n) => [`A${n}`, "x".repeat(32_000)])),
        })
      ).status,
    ).toBe(400);
    for (const body of ["[]", "null", '"x"', "{", ""])
      expect(
        (await api.call("POST", "/api/containers", { port: api.servers.port, token: secrets.web, raw: body }))
          .status,
      ).toBe(400);
    expect((await as("web", "GET", "/api/containers")).body.containers).toEqual([]);
  });

  it("answers 503 where the node is full, and when to try again", async () => {
    const before = rig.measured;
    rig.measured = { ...before, memoryMiB: 2048 };
    // One stands ready, and has half of what there is.
    const refused = await create({ memory: 600 });
    rig.measured = before;
    expect([refused.status, refused.headers["retry-after"], refused.body.error.code]).toEqual([
      503,
      "10",
      "full",
    ]);
    expect(refused.body.error.message).toMatch(/the node is full/);
  });

  it("shows how full it is, and tells tenants nothing of why a pool fails", async () => {
    const { body } = await as("web", "GET", "/api/capacity");
    expect(body.templates).toEqual([{ name: "node", more: expect.any(Number), bound: "memory", ready: 1 }]);
    expect((await as("web", "GET", "/api/images")).body).toMatchObject({
      ...{ default: "node:24-slim", allowed: ["node:*", "python:*", "node:24-slim"], own: [] },
    });
    rig.config = configOf({ templates: [template({ name: "broken", image: "node:none" })] });
    rig.manager.configChanged();
    await expect.poll(() => rig.manager.problems.length, { timeout: 30_000 }).toBe(1);
    const [theirs] = (await as("web", "GET", "/api/pool")).body.pools;
    expect(theirs).toMatchObject({ template: "broken", failing: true, ready: 0 });
    expect(theirs.problem).toBeUndefined();
    expect((await as("root", "GET", "/api/pool")).body.pools[0].problem).toContain("none of that name");
  });

  it("counts its containers for everybody, and says since when it runs", async () => {
    for (const port of [undefined, api.servers.port]) {
      const { body } = await api.call("GET", "/health", port === undefined ? {} : { port });
      expect(body).toEqual({
        ...{ status: "ok", containerCount: rig.manager.size, uptime: expect.any(Number) },
        ...(port === undefined && { reasons: [] }),
      });
    }
  });

  it("is no route for tenants of a node that has none", async () => {
    rig.config = undefined;
    for (const [method, path] of [
      ["GET", "/api/containers"],
      ["POST", "/api/containers"],
      ["POST", "/api/containers/claim"],
      ["POST", "/api/containers/0badcafe/setup"],
      ["POST", "/api/containers/0badcafe/exec"],
      ["GET", "/api/containers/0badcafe/stats"],
      ["GET", "/api/containers/0badcafe/logs"],
      ["POST", "/api/containers/0badcafe/terminal/ticket"],
      ["GET", "/api/pool"],
    ] as const) {
      const answer = await as("web", method, path, method === "POST" ? {} : undefined);
      expect([answer.status, answer.body.error.message]).toEqual([
        403,
        "This is not for tokens of role tenant.",
      ]);
    }
    expect((await as("root", "GET", "/health")).body).toEqual({ status: "ok", reasons: [] });
  });
});
