/**
 * berthd, bundled and in a process of its own, killed with SIGKILL at each step of the removal of all that a tenant had, which the
 * stack names no more; dockerd is a stand-in that lives on, database, journal, logs and sockets are real. Proves: the next berthd ends
 * it, also where the stack names a tenant of that name again by then, who is let in when nothing is left, and begins with nothing; and
 * so it does on a node that has no manager any more, where a tenant may have nothing left but what is kept of a container.
 */
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { faultPoints } from "../../agent/src/operations";
import { FakeDockerd } from "../fakes/dockerd";
import { until } from "../lib/until";
import { configOf } from "../unit/agent/manager/rig";
import { type Berthd, bundle, makeNode, type Node } from "./berthd-process";

const SOON = 60_000;
const NODE = `sha256:${"aa".repeat(32)}`;
const small = { memory: 16, cpus: 0.01 };
const pool = [{ name: "node", image: "node:24-slim", memory: "16MiB", cpus: 0.01, targetSize: 1 }];

let programs: string;
beforeAll(async () => {
  programs = await bundle();
}, SOON);
afterAll(() => rmSync(programs, { recursive: true, force: true }));

describe.runIf(process.getuid?.() === 0)("a berthd that removes what a tenant had, and is killed", () => {
  let dockerd: FakeDockerd;
  let node: Node;
  let berthd: Berthd;

  beforeEach(async () => {
    dockerd = new FakeDockerd();
    await dockerd.start();
    dockerd.images.set("node:24-slim", NODE).set(NODE, NODE);
    node = await makeNode(programs, 1);
  });
  afterEach(async () => {
    await node.close();
    await dockerd.close();
  });

  const write = (tenants: string[], purgeTenants: string[] = []) =>
    node.writeNode({
      ...{ listen: "loopback", port: 0, tenants: tenants.map((name) => ({ name })), purgeTenants },
      manager: configOf({ templates: pool, reserveMiB: 0 }),
    });
  /** The node has no manager any more, nor tenants. */
  const writeWithout = (purgeTenants?: true) =>
    node.writeNode({
      ...{ listen: "loopback", port: 0, tenants: [] },
      ...(purgeTenants && { purgeTenants }),
    });
  const env = (fault = "") => ({
    ...{ BERTH_DOCKER_SOCKET: dockerd.socket, BERTH_FAULTS_ALLOWED: fault ? "1" : "", BERTH_FAULT: fault },
  });
  async function start(fault?: string): Promise<void> {
    berthd = await node.start(env(fault));
  }
  const tokenOf = async (owner: string): Promise<string> =>
    (await node.call("POST", "/api/tokens", { body: { role: "tenant", owner } })).body.token;
  const ask = (token: string, method: string, path: string, body?: object) => {
    const port = Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
    return node.call(method, path, { port, token, ...(body && { body }) });
  };
  const claim = (token: string) =>
    ask(token, "POST", "/api/containers/claim", { template: "node", idempotency_key: "k" });
  const create = (token: string) =>
    ask(token, "POST", "/api/containers", {
      ...{ name: "app", ...small, volumeName: "deps", idempotency_key: "c" },
    });

  /** All that is kept of somebody. */
  function left(owner: string): string[] {
    const db = new DatabaseSync(node.paths.ledger, { readOnly: true });
    try {
      const of = (text: string) => db.prepare(text).all() as { what: string; body: string }[];
      const rows = of("SELECT id AS what, body FROM managed WHERE gone_at IS NULL");
      const volumes = of("SELECT name AS what, json_object('owner', owner) AS body FROM volumes");
      const notes = of("SELECT id AS what, json_object('owner', owner) AS body FROM operations");
      return [...rows, ...volumes, ...notes]
        .filter(({ body }) => (JSON.parse(body) as { owner?: string }).owner === owner)
        .map(({ what }) => what)
        .concat(logsOf(owner));
    } finally {
      db.close();
    }
  }
  function logsOf(owner: string): string[] {
    const folder = node.paths.containerLogs;
    const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".owner")) : [];
    return files.filter((name) => readFileSync(join(folder, name), "utf8") === owner);
  }

  const points = faultPoints.filter((point) => point.startsWith("leave:"));
  it.each(points.map((point, n): [string, string] => [point, n % 2 === 0 ? "is named again" : "is gone"]))(
    "at %s, and the tenant %s by then",
    async (point, by) => {
      write(["web", "bench"]);
      await start();
      let token = await tokenOf("web");
      const others = await tokenOf("bench");
      const made = await until("it is served", SOON, async () => {
        const answer = await create(token);
        return answer.status === 201 && answer.body;
      });
      const claimed = (await claim(token)).body;
      const theirs = (await create(others)).body;
      berthd.child.kill("SIGKILL");
      await berthd.ended;
      await start(point);
      const died = once(berthd.child, "exit");
      write(["bench"], ["web"]);
      expect((await died)[1]).toBe("SIGKILL");
      write(by === "is gone" ? ["bench"] : ["web", "bench"]);
      await start();
      await until("nothing of it is left", SOON, () => left("web").length === 0);
      const labels = [...dockerd.containers.values()].map(({ Config }) => Config?.Labels?.["berth.creation"]);
      expect(labels).not.toContain(made.id);
      expect(labels).not.toContain(claimed.id);
      expect(dockerd.calls).toContain("DELETE /volumes/berth-test-web.deps");
      expect((await ask(others, "GET", `/api/containers/${theirs.id}`)).body.status).toBe("running");
      expect(left("bench").length).toBeGreaterThan(0);
      if (by === "is gone") write(["web", "bench"]);
      token = await until("another one of that name is let in", SOON, async () => {
        const next = await tokenOf("web");
        return (await ask(next, "GET", "/api/containers")).status === 200 && next;
      });
      expect((await ask(token, "GET", "/api/containers")).body.containers).toEqual([]);
      const logs = await ask(token, "POST", `/api/containers/${made.id}/logs/ticket`);
      expect(logs.status).toBe(404);
      // Under the keys of the former's.
      const again = await create(token);
      expect([again.status, [made.id, claimed.id].includes(again.body.id)]).toEqual([201, false]);
    },
  );

  const creations = () =>
    [...dockerd.containers.values()].map(({ Config }) => Config?.Labels?.["berth.creation"]);
  /** Whoever is called so from now on. */
  async function comesBack(): Promise<string> {
    write(["web"]);
    return until("one of that name is let in", SOON, async () => {
      const made = await node.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web" } });
      const { token } = made.body;
      return made.status === 201 && (await ask(token, "GET", "/api/containers")).status === 200 && token;
    });
  }

  it.each(points)("at %s, on a node that has no manager any more", async (point) => {
    write(["web"]);
    await start();
    const first = await tokenOf("web");
    const made = await until("it is served", SOON, async () => {
      const answer = await create(first);
      return answer.status === 201 && answer.body;
    });
    const claimed = (await claim(first)).body;
    berthd.child.kill("SIGKILL");
    await berthd.ended;
    await start(point);
    const died = once(berthd.child, "exit");
    writeWithout(true);
    expect((await died)[1]).toBe("SIGKILL");
    await start();
    await until("nothing of it is left", SOON, () => left("web").length === 0);
    for (const { id } of [made, claimed]) expect(creations()).not.toContain(id);
    expect(dockerd.calls).toContain("DELETE /volumes/berth-test-web.deps");
    const token = await comesBack();
    expect((await ask(token, "GET", "/api/containers")).body.containers).toEqual([]);
    // Under the key of the former's.
    const again = await until("it is served", SOON, async () => {
      const answer = await create(token);
      return answer.status !== 503 && answer;
    });
    expect([again.status, again.body.id === made.id]).toEqual([201, false]);
  });

  /** As a berthd before this one left it. */
  const kept = {
    logs: () => {
      const file = (name: string, text: string) => writeFileSync(join(node.paths.containerLogs, name), text);
      mkdirSync(node.paths.containerLogs, { recursive: true });
      file("0a0b0c0d.owner", "web");
      const line = { seq: 1, timestamp: Date.now(), source: "start", line: "hello" };
      file("0a0b0c0d.jsonl", `${JSON.stringify(line)}\n`);
      return join(node.paths.containerLogs, "0a0b0c0d.jsonl");
    },
    packages: () => {
      const folder = join(node.paths.packages, "caches", "00aa", "1");
      mkdirSync(join(folder, "tree"), { recursive: true });
      const of = { owner: "web", name: "o-r", branch: "main", fingerprint: "f", bytes: 1, entries: 1 };
      writeFileSync(join(folder, "note.json"), JSON.stringify(of));
      return folder;
    },
  };
  const whats = ["logs", "packages"] as const;
  it.each(whats)("removes %s, where a tenant has nothing else and the node no manager", async (what) => {
    const theirs = kept[what]();
    writeWithout();
    await start();
    const isNamed = async () =>
      JSON.stringify((await node.call("GET", "/health")).body.reasons).includes("web is no tenant");
    await until("who stays is named", SOON, isNamed);
    expect(existsSync(theirs)).toBe(true);
    writeWithout(true);
    await until("it is gone", SOON, () => !existsSync(theirs));
    await until("nobody is named", SOON, async () => !(await isNamed()));
    expect(logsOf("web")).toEqual([]);
  });

  it("is told that the former's things are being removed as long as they are", async () => {
    write(["web"]);
    await start();
    const token = await tokenOf("web");
    await until("it is served", SOON, async () => (await create(token)).status === 201);
    dockerd.mood("DELETE /containers/ID", { kind: "status", status: 500, message: "busy" });
    write([], ["web"]);
    await until("it is noted", SOON, () => left("web").some((what) => what === "leave-web"));
    write(["web"]);
    const next = await until("there is a token", SOON, async () => tokenOf("web"));
    const refused = await ask(next, "GET", "/api/containers");
    expect([refused.status, refused.body.error.code, refused.headers["retry-after"]]).toEqual([
      503,
      "closed",
      "10",
    ]);
    expect(refused.body.error.message).toContain("is still being removed");
  });
});
