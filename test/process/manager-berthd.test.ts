/**
 * berthd, bundled and in a process of its own, with the container manager that node.json says. dockerd is a stand-in. Proves: a node
 * is with a manager as soon as node.json has one, and without one again when it has none; /health counts for everybody, and says
 * what is wrong to those alone who are known; a tenant's requests are answered over TCP as they are for a long time: with what they
 * made, over a restart.
 */
import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FakeDockerd } from "../fakes/dockerd";
import { until } from "../lib/until";
import { configOf } from "../unit/agent/manager/rig";
import { type Berthd, bundle, makeNode, type Node } from "./berthd-process";

const SOON = 60_000;
const NODE = `sha256:${"aa".repeat(32)}`;
const small = { memory: "16MiB", cpus: 0.01 };
const template = (more: object = {}) => ({
  name: "node",
  image: "node:24-slim",
  targetSize: 1,
  ...small,
  ...more,
});

let programs: string;
beforeAll(async () => {
  programs = await bundle();
}, SOON);
afterAll(() => rmSync(programs, { recursive: true, force: true }));

describe.runIf(process.getuid?.() === 0)("the container manager of a berthd", () => {
  let dockerd: FakeDockerd;
  let node: Node;
  let berthd: Berthd;
  let token: string;

  beforeEach(async () => {
    dockerd = new FakeDockerd();
    await dockerd.start();
    dockerd.images.set("node:24-slim", NODE).set(NODE, NODE);
    node = await makeNode(programs, 1);
    write();
    await start();
    token = (await node.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web" } })).body.token;
  });
  afterEach(async () => {
    await node.close();
    await dockerd.close();
  });

  async function start(): Promise<void> {
    berthd = await node.start({ BERTH_DOCKER_SOCKET: dockerd.socket });
  }
  /** @param templates left out: the node has no manager */
  const write = (templates?: object[], more: object = {}) =>
    node.writeNode({
      ...more,
      ...{ listen: "loopback", port: 0, tenants: [{ name: "web" }] },
      ...(templates && { manager: configOf({ templates, reserveMiB: 0 }) }),
    });
  const port = () => Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
  const ask = (method: string, path: string, body?: object) =>
    node.call(method, path, { port: port(), token, ...(body && { body }) });
  const health = async (who: "root" | "stranger") =>
    (await node.call("GET", "/health", who === "root" ? {} : { port: port() })).body;

  it("comes and goes with node.json", async () => {
    expect((await ask("GET", "/api/containers")).status).toBe(403);
    expect(await health("stranger")).toEqual({ status: "ok" });
    write([template()]);
    await until(
      "the pool is full",
      SOON,
      async () => (await ask("GET", "/api/pool")).body.pools?.[0]?.ready === 1,
    );
    const made = await ask("POST", "/api/containers", { name: "app", ...small });
    expect([made.status, made.body.fromPool]).toEqual([201, true]);
    await until("both are counted", SOON, async () => (await health("stranger")).containerCount === 2);
    expect(await health("stranger")).toEqual({
      ...{ status: "ok", containerCount: 2, uptime: expect.any(Number) },
    });
    write();
    const states = () => [...dockerd.containers.values()].map(({ State }) => State.Status);
    // What a tenant has stays, unless the stack says otherwise.
    await until("the pool goes, and the tenant's stands still", SOON, () => `${states()}` === "exited");
    expect((await ask("GET", "/api/containers")).status).toBe(403);
    expect((await health("root")).reasons).toEqual([
      expect.stringMatching(/^web is no tenant of this node any more: .*berth:manager\.purge/),
    ]);
    write(undefined, { purgeTenants: true });
    await until("nothing is left", SOON, () => dockerd.containers.size === 0);
    await until("all is well", SOON, async () => (await health("root")).status === "ok");
    expect(await health("root")).toEqual({ status: "ok", reasons: [] });
  });

  it("says that a pool cannot be filled, and why to those who are known alone", async () => {
    write([template({ image: "node:none" })]);
    await until("it says so", SOON, async () => (await health("root")).status === "degraded");
    expect((await health("root")).reasons).toEqual([
      expect.stringMatching(/^pool node: image node:none is not on this node/),
    ]);
    expect(await health("stranger")).toMatchObject({ status: "degraded", containerCount: 0 });
    // What does not need the pool goes on.
    expect((await ask("POST", "/api/containers", { name: "app", ...small })).status).toBe(201);
  });

  it("has what a tenant made after a restart, under its key and at its ports", async () => {
    write([template({ targetSize: 0, minSize: 0 })]);
    const wish = { name: "app", ...small, idempotency_key: "k" };
    const made = await until("it is served", SOON, async () => {
      const answer = await ask("POST", "/api/containers", wish);
      return answer.status === 201 && answer.body;
    });
    berthd.child.kill("SIGTERM");
    expect(await berthd.ended).toBe(0);
    await start();
    expect((await ask("GET", `/api/containers/${made.id}`)).body).toEqual(made);
    expect((await ask("POST", "/api/containers", wish)).body).toEqual(made);
    expect((await ask("DELETE", `/api/containers/${made.id}`)).status).toBe(200);
    expect(dockerd.containers.size).toBe(0);
  });

  it("removes a tenant's container as the tenant would, where an operator does", async () => {
    write([template({ targetSize: 0, minSize: 0 })]);
    const made = await until("it is served", SOON, async () => {
      const answer = await ask("POST", "/api/containers", { name: "app", ...small });
      return answer.status === 201 && answer.body;
    });
    const { containers } = (await node.call("GET", "/api/containers")).body;
    expect(containers).toMatchObject([{ user: "web", kind: "created", state: "running" }]);
    expect((await node.call("DELETE", `/api/containers/${containers[0].id}`)).status).toBe(200);
    expect((await ask("GET", `/api/containers/${made.id}`)).status).toBe(404);
    expect((await ask("GET", "/api/containers")).body.containers).toEqual([]);
  });
});
