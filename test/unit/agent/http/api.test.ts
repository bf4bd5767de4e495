/** The API: who may do what, what answers look like, and what bad input does. Real sockets, real HTTP. */
import { spawn } from "node:child_process";
import { existsSync, lstatSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../lib/until";
import { inventoryOf } from "../service/rig";
import { api, endAfterEachTest, openToAll } from "./cases";
import { type Api, makeApi } from "./rig";

endAfterEachTest();

const asRoot = process.getuid?.() === 0;
const ask = { kind: "mig", count: 1 };

describe.runIf(asRoot)("the main socket", () => {
  it("knows callers by their uid, and turns strangers away", async () => {
    const made = await api({ node: { users: [{ name: "alice", uid: 20_001, group: "student" }] } });
    openToAll(made);
    const ask_ = (uid: number, path: string, socket = made.main) => {
      const code = `require("node:http").get({ socketPath: ${JSON.stringify(socket)}, path: ${JSON.stringify(path)} }, (r) => {
        let t = ""; r.on("data", (d) => t += d); r.on("end", () => console.log(r.statusCode + " " + t)); });`;
      return new Promise<string>((resolve) => {
        const child = spawn("/proc/self/exe", ["-e", code], { uid, gid: uid, argv0: "node" });
        let text = "";
        child.stdout.on("data", (part) => {
          text += part;
        });
        child.stderr.on("data", (part) => {
          text += part;
        });
        child.on("close", () => resolve(text));
      });
    };
    expect(await ask_(20_001, "/api/whoami")).toContain('200 {"role":"user","user":"alice"');
    expect(await ask_(0, "/api/whoami")).toContain('200 {"role":"admin"');
    const stranger = await ask_(20_002, "/api/whoami");
    expect(stranger).toMatch(/^403 /);
    expect(stranger).toContain("uid 20002");
    expect(await ask_(20_002, "/health")).toMatch(/^403 /);
    // An account of the node is nobody else by another's socket.
    expect(await ask_(20_002, "/api/whoami", made.socketOf("alice"))).toContain("EACCES");
  });
});

describe("sockets", () => {
  it("come and go as users do, open to all in folders that only root passes to on the node", async () => {
    const before = process.umask(0o077);
    const made = await api();
    process.umask(before);
    expect(statSync(made.paths.usersFolder).mode & 0o777).toBe(0o700);
    expect(statSync(made.paths.runFolder).mode & 0o777).toBe(0o755);
    for (const user of ["alice", "bob"]) {
      expect(statSync(made.socketOf(user)).mode & 0o777).toBe(0o666);
      expect(statSync(dirname(made.socketOf(user))).mode & 0o777).toBe(0o755);
    }
    expect(statSync(made.main).mode & 0o777).toBe(0o666);
    made.node.users = [{ name: "bob" }, { name: "carol" }];
    await made.servers.apply();
    expect(existsSync(made.socketOf("alice"))).toBe(false);
    // Mounted into a workspace: the folder stays the same one.
    expect(existsSync(dirname(made.socketOf("alice")))).toBe(true);
    expect((await made.call("GET", "/api/whoami", { socket: made.socketOf("carol") })).body).toMatchObject({
      user: "carol",
    });
  });

  it("that were left behind are replaced; what is no socket is left alone", async () => {
    const first = await makeApi();
    const { folder } = first;
    await first.servers.close(100);
    writeFileSync(first.main, "not a socket");
    await expect(first.servers.start()).rejects.toThrow("is no socket");
    expect(lstatSync(first.main).isFile()).toBe(true);
    expect(folder).toBe(first.folder);
    await first.close();
  });

  it("are gone after the end, and whoever waited was told", async () => {
    const made = await makeApi({ inventory: inventoryOf(1, 1) });
    const alice = made.socketOf("alice");
    expect((await made.call("POST", "/api/grants", { socket: alice, body: { ask } })).status).toBe(201);
    const waiting = made.call("POST", "/api/grants", { socket: alice, body: { ask, wait_seconds: 60 } });
    await until("it waits", 30_000, () => made.ledger.queueLength() === 1);
    const closing = made.servers.close(3000);
    await made.ledger.stop();
    await closing;
    const told = await waiting;
    expect(told.status).toBe(503);
    expect(told.body.error).toMatchObject({ code: "closed", message: expect.stringContaining("stopping") });
    expect(existsSync(made.main)).toBe(false);
    expect(existsSync(alice)).toBe(false);
    await made.close();
  });
});

describe("a client that goes away while it waits", () => {
  it("is forgotten", async () => {
    const made = await api({ inventory: inventoryOf(1, 1) });
    const alice = made.socketOf("alice");
    const held = await made.call("POST", "/api/grants", { socket: alice, body: { ask } });
    const gone = new AbortController();
    const waiting = made.call("POST", "/api/grants", {
      socket: alice,
      body: { ask, wait_seconds: 60 },
      signal: gone.signal,
    });
    waiting.catch(() => {});
    await until("it waits", 30_000, () => made.ledger.queueLength() === 1);
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await until("it is forgotten", 30_000, () => made.ledger.queueLength() === 0);
    await made.call("DELETE", `/api/grants/${held.body.id}`, { socket: alice });
    expect(made.ledger.grants()).toEqual([]);
  });
});

describe("bad input", () => {
  const body = (more: object) => ({ body: { ask, ...more } });
  const cases: [string, string, string, object, number, RegExp][] = [
    ["an unknown key", "POST", "/api/grants", body({ colour: "red" }), 400, /colour/],
    [
      "an unknown key inside",
      "POST",
      "/api/grants",
      { body: { ask: { ...ask, size: 1 } } },
      400,
      /ask.*size/,
    ],
    [
      "several at once",
      "POST",
      "/api/grants",
      { body: { ask: { kind: "cpu", count: 0 } } },
      400,
      /ask\.kind.*ask\.count/,
    ],
    ["a fraction", "POST", "/api/grants", { body: { ask: { kind: "mig", count: 1.5 } } }, 400, /ask\.count/],
    ["a control character", "POST", "/api/grants", body({ purpose: "a\u0000b" }), 400, /purpose/],
    ["no body", "POST", "/api/grants", {}, 400, /body/i],
    ["an empty body", "POST", "/api/grants", { raw: "" }, 400, /body/i],
    ["no JSON", "POST", "/api/grants", { raw: "{" }, 400, /JSON/],
    ["a list", "POST", "/api/grants", { raw: "[]" }, 400, /body/],
    ["a prototype", "POST", "/api/grants", { raw: '{"ask":{"kind":"mig"},"__proto__":{"x":1}}' }, 400, /./],
    [
      "another content type",
      "POST",
      "/api/grants",
      { raw: "a=1", headers: { "content-type": "text/plain" } },
      415,
      /application\/json|Unsupported/,
    ],
    [
      "a huge body",
      "POST",
      "/api/grants",
      { raw: JSON.stringify({ purpose: "x".repeat(300_000) }) },
      413,
      /large/,
    ],
    ["an unknown query", "GET", "/api/grants?colour=red", {}, 400, /colour/],
    ["a wrong state", "GET", "/api/grants?state=lost", {}, 400, /state/],
    ["too many", "GET", "/api/history?limit=1001", {}, 400, /limit/],
    ["an unknown path", "GET", "/v2/grants", {}, 404, /openapi/],
    // Of the first version of this API.
    ["a path that moved", "POST", "/v1/grants?x=1", {}, 410, /^\/v1\/grants is \/api\/grants now\. /],
    ["a path that has another name", "GET", "/v1/pool/plan", {}, 410, / \/api\/declared\/plan$/],
    ["all of it", "GET", "/v1", {}, 410, / \/api$/],
    ["what only begins so", "GET", "/v10/grants", {}, 404, /openapi/],
    ["another method", "PUT", "/api/grants", {}, 405, /GET, POST/],
    ["an unknown grant", "GET", "/api/grants/none", {}, 404, /none/],
    ["a broken escape", "GET", "/api/grants/%E0%A4%A", {}, 400, /./],
    ["a very long id", "GET", `/api/grants/${"x".repeat(300)}`, {}, 400, /length/],
  ];
  let made: Api;
  beforeAll(async () => {
    made = await makeApi();
  });
  afterAll(() => made.close());
  it.each(cases)("%s is refused, and why", async (_name, method, path, options, status, said) => {
    const answer = await made.call(method, path, { socket: made.socketOf("alice"), ...options });
    expect(answer.status, answer.text).toBe(status);
    expect(Object.keys(answer.body)).toEqual(["error"]);
    expect(`${answer.body.error.message} ${answer.body.error.allowed}`).toMatch(said);
    expect(made.ledger.grants()).toEqual([]);
  });

  it("an unknown user, more than the limit, a profile that no GPU offers", async () => {
    const call = (options: object) =>
      made.call("POST", "/api/grants", { socket: made.socketOf("alice"), ...options });
    made.limits.max = 1;
    const over = await call({ body: { ask: { kind: "mig", count: 2 } } });
    expect(over).toMatchObject({
      status: 422,
      body: { error: { code: "over-limit", rule: "groups.student.max_mig_instances" } },
    });
    made.limits.max = null;
    const profile = await call({ body: { ask: { kind: "mig", count: 1, profile: "9g.99gb" } } });
    expect(profile.status).toBe(422);
    expect(profile.body.error).toMatchObject({
      code: "unknown-profile",
      allowed: expect.stringContaining("1g.10gb"),
    });
  });

  it("that is no HTTP gets an answer all the same, and the next caller is served", async () => {
    const said = await new Promise<string>((resolve) => {
      const socket = connect(made.main, () => socket.write("HELLO\r\n\r\n"));
      let text = "";
      socket.on("data", (part) => {
        text += part;
      });
      socket.on("close", () => resolve(text));
    });
    expect(said).toMatch(/^HTTP\/1\.1 400 .*bad-request/s);
    expect((await made.call("GET", "/health", { socket: made.socketOf("bob") })).status).toBe(200);
  });
});

describe("TCP", () => {
  it("slows down who tries tokens, and serves good ones all the same", async () => {
    let time = 0;
    const made = await api({ mostTries: 5, now: () => time });
    const { port } = made.servers;
    const created = await made.tokens.create({ role: "service" }, "test");
    const token = created.ok ? created.value.token : "";
    const tries: number[] = [];
    for (let n = 0; n < 7; n++)
      tries.push((await made.call("GET", "/api/whoami", { port, token: "berth_wrong" })).status);
    expect(tries).toEqual([401, 401, 401, 401, 401, 429, 429]);
    const slowed = await made.call("GET", "/api/whoami", { port, token: "berth_wrong" });
    expect(slowed.headers["retry-after"]).toBe("60");
    expect((await made.call("GET", "/api/whoami", { port, token })).body).toMatchObject({ role: "service" });
    time = 61_000;
    expect((await made.call("GET", "/api/whoami", { port, token: "berth_wrong" })).status).toBe(401);
  });

  it("tells strangers whether it is well, and no more", async () => {
    const made = await api();
    made.limits.problem = "the limits of alice are broken";
    const { port } = made.servers;
    expect((await made.call("GET", "/health", { port })).body).toEqual({ status: "degraded" });
    const bob = await made.call("GET", "/health", { socket: made.socketOf("bob") });
    expect(bob.body.status).toBe("degraded");
    expect(bob.text).not.toContain("alice");
  });

  it("is not there when the stack says so, and only where it says", async () => {
    const made = await api({ node: { listen: "off" } });
    expect(made.servers.port).toBeUndefined();
    made.node.listen = "private";
    made.node.privateAddress = "127.0.0.2";
    await made.servers.apply();
    const { port } = made.servers;
    expect(port).toEqual(expect.any(Number));
    await expect(made.call("GET", "/health", { port })).rejects.toThrow("ECONNREFUSED");
  });
});

describe("requests a minute", () => {
  /** The answers to so many requests, a few at a time. */
  const ask_ = async (made: Api, count: number, options: object, path = "/api/whoami") => {
    const statuses = new Map<number, number>();
    for (let done = 0; done < count; done += 50) {
      const some = Array.from({ length: Math.min(50, count - done) }, () => made.call("GET", path, options));
      for (const { status } of await Promise.all(some)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    return Object.fromEntries(statuses);
  };

  it("are so many of a user's socket; root's are not counted, nor are bob's with alice's", async () => {
    const made = await api();
    const alice = { socket: made.socketOf("alice") };
    expect(await ask_(made, 1210, alice)).toEqual({ 200: 1200, 429: 10 });
    const refused = await made.call("GET", "/nowhere", alice);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused.body.error).toMatchObject({ code: "busy", allowed: "1200 requests a minute" });
    expect(await ask_(made, 1300, { socket: made.main })).toEqual({ 200: 1300 });
    expect(await ask_(made, 1, { socket: made.socketOf("bob") })).toEqual({ 200: 1 });
  });

  it("are as many of a token as it was made with; strangers have only what is open to all", async () => {
    const made = await api();
    const { port } = made.servers;
    const tokens: string[] = [];
    for (const body of [
      { role: "service", requests_per_minute: 3 },
      { role: "admin", requests_per_minute: 3 },
      { role: "admin" },
    ]) {
      const answer = await made.call("POST", "/api/tokens", { body });
      expect(answer.body.requestsPerMinute).toBe(body.requests_per_minute);
      tokens.push(answer.body.token);
    }
    const seen = [];
    for (const token of tokens) seen.push(await ask_(made, 5, { port, token }));
    expect(seen).toEqual([{ 200: 3, 429: 2 }, { 200: 3, 429: 2 }, { 200: 5 }]);
    expect(await ask_(made, 5, { port }, "/health")).toEqual({ 200: 5 });
  });
});

describe("an address that is taken", () => {
  it("is tried again until it is free; those on the node are served meanwhile", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const made = await api({ node: { listen: "loopback", port } });
    expect(made.servers.problem).toContain("EADDRINUSE");
    expect((await made.call("GET", "/api/whoami", { socket: made.socketOf("alice") })).status).toBe(200);
    await new Promise((resolve) => taken.close(resolve));
    await until("it is offered", 30_000, () => made.servers.port === port);
    expect(made.servers.problem).toBeUndefined();
    expect((await made.call("GET", "/health", { port })).status).toBe(200);
  });
});

describe("the document", () => {
  it("is OpenAPI 3.1 with a schema for every answer, and strict bodies", async () => {
    const made = await api();
    const { body } = await made.call("GET", "/openapi.json", { socket: made.socketOf("alice") });
    expect(body.openapi).toMatch(/^3\.1/);
    for (const [path, methods] of Object.entries<Record<string, { requestBody?: object; responses: object }>>(
      body.paths,
    )) {
      for (const [method, operation] of Object.entries(methods)) {
        for (const [status, response] of Object.entries<{ content?: object }>(operation.responses as never)) {
          expect(response.content, `${method} ${path} ${status}`).toBeDefined();
        }
        if (operation.requestBody)
          expect(JSON.stringify(operation.requestBody)).toContain('"additionalProperties":false');
      }
    }
  });

  it("has metrics with what is going on", async () => {
    const made = await api();
    await made.call("POST", "/api/grants", { socket: made.socketOf("alice"), body: { ask } });
    const { text } = await made.call("GET", "/metrics", { socket: made.socketOf("alice") });
    expect(text).toMatch(/berth_grants\{state="reserved"\} 1/);
    for (const name of [
      "berth_queue_length",
      "berth_inventory_age_seconds",
      "berth_commit_seconds_bucket",
      "process_resident_memory_bytes",
      "process_cpu_seconds_total",
      "process_start_time_seconds",
      "process_open_fds",
    ]) {
      expect(text).toMatch(new RegExp(`^${name}(\\{.*\\})? [0-9]`, "m"));
    }
  });
});
