/**
 * berthd, bundled and in a process of its own, with a container manager, killed with SIGKILL at each point of a create, a claim, a
 * delete and a refill of a pool, and at random moments under load. dockerd is a stand-in that lives on; database, journal and
 * sockets are real. Proves: the next berthd brings rows and containers to agree: no container that nobody has, no port with two
 * owners, no pool beyond its target, no note left; and a tenant that asks again under its key has what it asked for, once; all of that
 * also where the ledger is lost at that moment.
 */
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { managerFaultPoints } from "../../agent/src/manager";
import { faultPoints } from "../../agent/src/operations";
import { FakeDockerd } from "../fakes/dockerd";
import { until } from "../lib/until";
import { configOf } from "../unit/agent/manager/rig";
import { type Berthd, bundle, makeNode, type Node } from "./berthd-process";

const SOON = 60_000;
const IMAGES = { "node:24-slim": `sha256:${"aa".repeat(32)}`, "python:3.13": `sha256:${"bb".repeat(32)}` };
const TARGET = 2;
const BURSTS = 5;
const pool = [{ name: "node", image: "node:24-slim", memory: "16MiB", cpus: 0.01, targetSize: TARGET }];
/** Of a small computer too. */
const small = { memory: 16, cpus: 0.01 };
const asRoot = process.getuid?.() === 0;

interface Row {
  id: string;
  owner?: string;
  state: string;
  container?: string;
  ports: { host: number }[];
}

let programs: string;
beforeAll(async () => {
  programs = await bundle();
}, SOON);
afterAll(() => rmSync(programs, { recursive: true, force: true }));

describe.runIf(asRoot)("a berthd with a container manager that is killed", () => {
  let dockerd: FakeDockerd;
  let node: Node;
  let berthd: Berthd;
  let token: string;

  beforeEach(async () => {
    dockerd = new FakeDockerd();
    await dockerd.start();
    for (const [name, id] of Object.entries(IMAGES)) dockerd.images.set(name, id).set(id, id);
    node = await makeNode(programs, 1);
  });
  afterEach(async () => {
    await node.close();
    await dockerd.close();
  });

  /** Node.json is of the next start. */
  const write = (templates: object[]) =>
    node.writeNode({
      ...{ listen: "loopback", port: 0, tenants: [{ name: "web" }] },
      manager: configOf({ templates, reserveMiB: 0 }),
    });

  async function start(fault?: string): Promise<void> {
    berthd = await node.start({
      BERTH_DOCKER_SOCKET: dockerd.socket,
      BERTH_FAULTS_ALLOWED: fault ? "1" : "",
      BERTH_FAULT: fault ?? "",
    });
  }

  /** A first start, with a token of the tenant. */
  async function begin(templates: object[] = []): Promise<void> {
    write(templates);
    await start();
    const made = await node.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web" } });
    expect(made.status).toBe(201);
    token = made.body.token;
    if (templates.length > 0) await full();
  }

  const ask = (method: string, path: string, body?: object) => {
    const port = Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
    return node.call(method, path, { port, token, ...(body && { body }) });
  };
  const create = (more: object = {}) =>
    ask("POST", "/api/containers", { name: "app", image: "python:3.13", ...small, ...more });
  const claim = (more: object = {}) => ask("POST", "/api/containers/claim", { template: "node", ...more });
  const list = async (): Promise<{ id: string; status: string }[]> =>
    (await ask("GET", "/api/containers")).body.containers;

  async function end(): Promise<void> {
    berthd.child.kill("SIGKILL");
    await berthd.ended;
  }

  /** Kills berthd at the point, which the act or its start reaches, and starts the next one. @param away what happens in between */
  async function killAt(point: string, act?: () => Promise<unknown>, away = () => {}): Promise<void> {
    await end();
    if (act === undefined) {
      const child = node.spawn([], {
        BERTH_DOCKER_SOCKET: dockerd.socket,
        BERTH_FAULTS_ALLOWED: "1",
        BERTH_FAULT: point,
      });
      expect(await child.ended, child.output()).toBe("SIGKILL");
    } else {
      await start(point);
      const died = once(berthd.child, "exit");
      await expect(act()).rejects.toThrow();
      expect((await died)[1]).toBe("SIGKILL");
    }
    away();
    await start();
  }

  /** The ledger with all that SQLite has beside it. */
  const lose = (...files: string[]) => {
    for (const file of files)
      for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
  };
  const copy = () => join(dirname(node.paths.ledger), "tenants.db");

  /** What the database has, read beside berthd. */
  function written(): { rows: Row[]; notes: number } {
    const db = new DatabaseSync(node.paths.ledger, { readOnly: true });
    try {
      const rows = db.prepare("SELECT body FROM managed WHERE gone_at IS NULL").all() as { body: string }[];
      const { n } = db.prepare("SELECT count(*) AS n FROM operations").get() as { n: number };
      return { rows: rows.map(({ body }) => JSON.parse(body) as Row), notes: n };
    } finally {
      db.close();
    }
  }

  function problems(): string[] {
    const { rows, notes } = written();
    const containers = [...dockerd.containers.values()];
    const ports = containers.flatMap(({ HostConfig }) =>
      Object.values(HostConfig.PortBindings ?? {}).flatMap((all) =>
        (all ?? []).map(({ HostPort }) => HostPort),
      ),
    );
    return [
      ...containers
        .filter(({ Id }) => !rows.some(({ container }) => container === Id))
        .map(({ Config }) => `nobody has ${Config?.Labels?.["berth.creation"]}`),
      ...rows
        .filter(({ container = "" }) => dockerd.containers.get(container)?.State.Running !== true)
        .map(({ id, state }) => `${id} is ${state}, and no container of it runs`),
      ...(new Set(ports).size === ports.length ? [] : [`a port has two owners: ${ports.join(", ")}`]),
      ...(notes === 0 ? [] : [`${notes} operations are noted`]),
    ];
  }

  const agreed = () => expect.poll(problems, { timeout: SOON, interval: 20 }).toEqual([]);
  const standing = () => written().rows.filter(({ owner }) => owner === undefined);

  /** The pool is at its target, and was never seen beyond it. */
  async function full(): Promise<void> {
    await until("the pool is full", SOON, () => {
      expect(standing().length).toBeLessThanOrEqual(TARGET);
      return standing().filter(({ state }) => state === "ready").length === TARGET;
    });
    await agreed();
  }

  const of = (kind: string, ...left: string[]) =>
    faultPoints.filter((point) => point.startsWith(`${kind}:`) && !left.some((one) => point.endsWith(one)));
  const ofManager = (...steps: string[]) =>
    managerFaultPoints.filter((point) => steps.some((step) => point.endsWith(`-${step}`)));
  /** Nothing is granted to these. */
  const making = [...ofManager("note", "ready"), ...of("create", "-reserve", "-bind")];

  it.each(making)("at %s of a create", async (point) => {
    await begin();
    await killAt(point, () => create({ idempotency_key: "k" }));
    await agreed();
    // Once it runs, it is whoever's that asked for it.
    const runs = ["create:after-start", "manager:before-ready", "manager:after-ready"].includes(point);
    const there = await list();
    expect(there.map(({ status }) => status)).toEqual(runs ? ["running"] : []);
    const again = await create({ idempotency_key: "k" });
    expect(again.status).toBe(201);
    if (runs) expect(again.body.id).toBe(there[0]?.id);
    await agreed();
    expect(dockerd.containers.size).toBe(1);
  });

  it.each([...ofManager("leave", "forget"), ...of("remove")])("at %s of a delete", async (point) => {
    await begin();
    const { id } = (await create()).body;
    const other = (await create()).body;
    await killAt(point, () => ask("DELETE", `/api/containers/${id}`));
    await agreed();
    // Nothing was noted before; its caller asks again.
    if (point === "manager:before-leave")
      expect((await ask("DELETE", `/api/containers/${id}`)).status).toBe(200);
    await expect.poll(async () => (await list()).map((one) => one.id), { timeout: SOON }).toEqual([other.id]);
    await agreed();
    expect((await create()).status).toBe(201);
    await agreed();
  });

  /** Until it has seen its containers again, a berthd that has just begun makes one more instead. */
  const claimed = async () => {
    const ready = async () => (await ask("GET", "/api/pool")).body.pools[0].ready;
    await expect.poll(ready, { timeout: SOON }).toBe(TARGET);
    return claim({ name: "mine", env: { A: "b" }, idempotency_key: "k" });
  };

  it.each(
    ofManager("claim").flatMap((point): [string, string][] => [
      [point, "stays"],
      [point, "is lost"],
    ]),
  )("at %s, where the ledger %s", async (point, ledger) => {
    await begin(pool);
    const before = standing().map(({ id }) => id);
    await killAt(point, claimed, () => void (ledger === "is lost" && lose(node.paths.ledger)));
    await full();
    for (const id of before) expect(written().rows.map((row) => row.id)).toContain(id);
    const there = await list();
    expect(there).toHaveLength(point === "manager:after-claim" ? 1 : 0);
    const again = await claimed();
    expect([again.status, again.body.name]).toEqual([201, "mine"]);
    if (there.length > 0) expect(again.body.id).toBe(there[0]?.id);
    await full();
    expect([dockerd.containers.size, (await list()).length]).toEqual([TARGET + 1, 1]);
  });

  it.each(making)("at %s of a refill", async (point) => {
    await begin();
    write(pool);
    await killAt(point);
    await full();
    expect(dockerd.containers.size).toBe(TARGET);
    expect((await claim()).body.fromPool).toBe(true);
    await full();
  });

  it.each(ofManager("adopt"))("at %s, where the ledger and its copy are lost", async (point) => {
    await begin(pool);
    const mine = [(await create()).body.id, (await claimed()).body.id];
    await full();
    // Whose log it is, is written a moment after the claim was answered.
    const owned = () => existsSync(join(node.paths.containerLogs, `${mine[1]}.owner`));
    await expect.poll(owned, { timeout: SOON }).toBe(true);
    await end();
    lose(node.paths.ledger, copy());
    await killAt(point);
    token = (await node.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web" } })).body.token;
    const ids = async () => (await list()).map(({ id }) => id).sort();
    await expect.poll(ids, { timeout: SOON }).toEqual(mine.sort());
    for (const { status } of await list()) expect(status).toBe("running");
    // What nobody can tell whose it is stays as well.
    expect(dockerd.containers.size).toBeGreaterThanOrEqual(mine.length + TARGET);
  });

  it("at a random moment of many creates, claims and deletes", async () => {
    await begin(pool);
    for (let burst = 0; burst < BURSTS; burst++) {
      const calls = Promise.allSettled(
        Array.from({ length: 8 }, async (_, n) => {
          const made = await (n % 2 === 0 ? create() : claim());
          if (n % 4 < 2) await ask("DELETE", `/api/containers/${made.body.id}`);
        }),
      );
      await after(Math.random() * 150);
      await end();
      await calls;
      await start();
      await full();
    }
    for (const { id } of await list())
      expect((await ask("DELETE", `/api/containers/${id}`)).status).toBe(200);
    await full();
    expect(dockerd.containers.size).toBe(TARGET);
  });
});
