/** berthd itself: started, killed, started again, with good and bad files. A real process, socket and database. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Grant } from "../../core/gpu";
import { until } from "../lib/until";
import { bundle, makeNode, type Node } from "./berthd-process";

// Whoever is not root is not berthd's operator: the main socket would turn the test away.
const asRoot = process.getuid?.() === 0;
let programs: string;
const nodes: Node[] = [];
beforeAll(async () => {
  programs = await bundle();
}, 60_000);
afterAll(() => rmSync(programs, { recursive: true, force: true }));
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});
async function noded(gpus?: number): Promise<Node> {
  const node = await makeNode(programs, gpus);
  nodes.push(node);
  return node;
}
const ask = { kind: "mig", count: 1 };
const reserve = (node: Node, user = "alice") => node.call("POST", "/api/grants", { body: { user, ask } });
const lines = (node: Node) =>
  readFileSync(node.paths.events, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { seq: number; event: string; grant?: string });
const log = (text: string, level: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { level: string; msg: string })
    .filter((line) => line.level === level);

describe.runIf(asRoot)("berthd", { timeout: 60_000 }, () => {
  it("tells systemd that it is ready, that it lives, and that it ends", async () => {
    const node = await noded();
    const socket = join(node.folder, "notify.sock");
    const listener = spawn("python3", [
      "-u",
      "-c",
      `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound")
while True: print(repr(s.recv(4096).decode()))`,
      socket,
    ]);
    let told = "";
    listener.stdout.on("data", (part: Buffer) => {
      told += part.toString();
    });
    try {
      await until("the listener is there", 60_000, () => told.includes("bound"));
      const berthd = await node.start({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: "300000" });
      await until("it says that it lives", 60_000, () => (told.match(/'WATCHDOG=1'/g) ?? []).length >= 3);
      expect(told.match(/READY=1/g)).toHaveLength(1);
      expect(told.indexOf("READY=1")).toBeLessThan(told.indexOf("'WATCHDOG=1'"));
      // An event loop that does nothing says nothing: systemd then starts it anew.
      berthd.child.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, 150));
      const silent = told;
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(told).toBe(silent);
      berthd.child.kill("SIGCONT");
      berthd.child.kill("SIGTERM");
      expect(await berthd.ended).toBe(0);
      expect(told).toContain("STOPPING=1");
    } finally {
      listener.kill();
    }
  });

  it("ends with nothing left behind: sockets gone, the database one file, its lock free", async () => {
    const node = await noded();
    const berthd = await node.start();
    expect((await reserve(node)).status).toBe(201);
    berthd.child.kill("SIGTERM");
    expect(await berthd.ended).toBe(0);
    expect(existsSync(node.paths.socket)).toBe(false);
    expect(readdirSync(node.paths.stateFolder).filter((name) => /ledger\.db-(wal|shm)/.test(name))).toEqual(
      [],
    );
    const db = new DatabaseSync(node.paths.ledger);
    expect(db.prepare("SELECT count(*) AS n FROM grants WHERE live = 1").get()).toEqual({ n: 1 });
    db.close();
    await node.start();
    expect((await node.call("GET", "/api/grants")).body.grants).toHaveLength(1);
  });

  it("is one: a second ends with an error that names the first, and the first goes on", async () => {
    const node = await noded();
    const first = await node.start();
    const second = node.spawn();
    expect(await second.ended).toBe(75);
    expect(second.output()).toContain(`pid ${first.child.pid}`);
    expect((await reserve(node)).status).toBe(201);
  });

  it("killed under load, comes back with every grant that was answered, and none twice", async () => {
    const node = await noded(4);
    /** As the clients were told: live, or given back. */
    const told = new Map<string, { grant: Grant; live: boolean }>();
    const used = new Set<number>();
    const inDoubt = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const berthd = await node.start();
      let stop = false;
      let answered = 0;
      const client = async () => {
        while (!stop) {
          try {
            const made = await node.call("POST", "/api/grants", {
              socket: join(node.paths.usersFolder, "alice/berth.sock"),
              body: { ask },
            });
            answered++;
            if (made.status !== 201) continue;
            const grant = made.body as Grant;
            expect(used.has(grant.token)).toBe(false);
            used.add(grant.token);
            told.set(grant.id, { grant, live: true });
            if (Math.random() < 0.2) continue;
            inDoubt.add(grant.id);
            const gone = await node.call("DELETE", `/api/grants/${grant.id}`);
            expect(gone.status).toBe(200);
            told.set(grant.id, { grant, live: false });
            inDoubt.delete(grant.id);
          } catch (error) {
            if (!/ECONNRESET|ECONNREFUSED|ENOENT|EPIPE|socket hang up/.test(String(error))) throw error;
            return;
          }
        }
      };
      const clients = Array.from({ length: 16 }, client);
      await until("there is load", 60_000, () => answered > 150);
      berthd.child.kill("SIGKILL");
      stop = true;
      expect(await berthd.ended).toBe("SIGKILL");
      await Promise.all(clients);
    }
    await node.start();
    const live = (await node.call("GET", "/api/grants")).body.grants as Grant[];
    const units = live.flatMap((grant) => grant.units.map(({ uuid }) => uuid));
    expect(new Set(units).size).toBe(units.length);
    const ids = new Set(live.map(({ id }) => id));
    for (const [id, { live: expected }] of told) {
      if (!inDoubt.has(id)) expect(ids.has(id), id).toBe(expected);
    }
    for (const { token } of live) expect(token).toBeLessThanOrEqual(Math.max(...used) + 16 * 3);
    // Each change is in the log once, in order, over all three crashes.
    await until("the log is whole", 60_000, () => {
      const events = lines(node);
      return [...told.keys()].every((id) =>
        events.some(({ grant, event }) => grant === id && event === "granted"),
      );
    });
    const events = lines(node);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    const granted = events.filter(({ event }) => event === "granted").map(({ grant }) => grant);
    expect(new Set(granted).size).toBe(granted.length);
  });

  it("with a database that is broken, moves it aside, says so, and rebuilds it from the containers", async () => {
    const node = await noded(1);
    const first = await node.start();
    const grants: Grant[] = [];
    for (let n = 0; n < 3; n++) grants.push((await reserve(node)).body as Grant);
    first.child.kill("SIGKILL");
    await first.ended;
    for (const suffix of ["-wal", "-shm"]) rmSync(node.paths.ledger + suffix, { force: true });
    truncateSync(node.paths.ledger, 5000);
    const [kept] = grants as [Grant];
    node.containers.push({
      Id: "c".repeat(64),
      labels: {
        "berth.stack": "test",
        "berth.node": "n1",
        "berth.component": "creation",
        "berth.owner": "alice",
        "berth.grant": kept.id,
        "berth.grant-token": String(kept.token),
        "berth.gpus": kept.units.map(({ uuid }) => uuid).join(","),
      },
    });
    const again = await node.start();
    expect(
      log(again.output(), "error")
        .map(({ msg }) => msg)
        .join(),
    ).toContain("The ledger was lost");
    expect(readdirSync(node.paths.stateFolder).some((name) => name.startsWith("ledger.db.corrupt-"))).toBe(
      true,
    );
    const live = (await node.call("GET", "/api/grants")).body.grants as Grant[];
    expect(live.map(({ id, state }) => [id, state])).toEqual([[kept.id, "bound"]]);
    const rest: Grant[] = [];
    for (let n = 0; n < 7; n++) {
      const made = await reserve(node);
      if (made.status === 201) rest.push(made.body as Grant);
    }
    expect(rest).toHaveLength(6);
    expect(rest.flatMap(({ units }) => units.map(({ uuid }) => uuid))).not.toContain(kept.units[0]?.uuid);
    for (const { token } of rest)
      expect(token).toBeGreaterThan(Math.max(...grants.map((grant) => grant.token)));
    expect(lines(node).filter(({ event }) => event === "ledger-lost")).toHaveLength(1);
  });

  it("refuses a database of a newer version, and files that are wrong, each with what to do", async () => {
    const node = await noded();
    const first = await node.start();
    first.child.kill("SIGTERM");
    await first.ended;
    const db = new DatabaseSync(node.paths.ledger);
    db.exec("INSERT INTO migrations (version, name, applied_at) VALUES (99, 'later', 0)");
    db.close();
    const newer = node.spawn();
    expect(await newer.ended).toBe(78);
    expect(newer.output()).toContain("version 99");
    expect(newer.output()).toContain("Nothing was touched");
    writeFileSync(node.paths.nodeFile, '{"stack":"t","users":[{"name":"A"},{"name":"b","uid":0}],"port":-1}');
    const wrong = node.spawn();
    expect(await wrong.ended).toBe(78);
    for (const where of ["node:", "users[0].name", "users[1].uid", "port"])
      expect(wrong.output()).toContain(where);
  });

  it("checks its files without starting", async () => {
    const node = await noded();
    const good = node.spawn(["--check"]);
    expect(await good.ended).toBe(0);
    expect(good.output()).toContain("are good");
    node.writeLimits({ groups: { staff: { max_mig_instances: "many", colour: 1 } } });
    writeFileSync(node.paths.gpusFile, "[");
    const bad = node.spawn(["--check"]);
    expect(await bad.ended).toBe(78);
    for (const where of ["max_mig_instances", "colour", "gpus.json"]) expect(bad.output()).toContain(where);
    expect(existsSync(node.paths.ledger)).toBe(false);
    const unknown = node.spawn(["--chekc"]);
    expect(await unknown.ended).toBe(64);
  });

  it("takes new limits without a restart, and keeps the last good ones when they are broken, over a restart too", async () => {
    const node = await noded();
    const allow = (max: number) => ({
      groups: { staff: { max_mig_instances: max, max_containers_per_user: null } },
    });
    node.writeLimits(allow(1));
    const berthd = await node.start();
    expect((await reserve(node)).status).toBe(201);
    expect((await reserve(node)).body.error).toMatchObject({
      code: "over-limit",
      rule: "groups.staff.max_mig_instances",
    });
    node.writeLimits(allow(2));
    await until("two are allowed", 60_000, async () => (await reserve(node)).status === 201);
    const broken = async () => {
      const { body } = await node.call("GET", "/health");
      return body.status === "degraded" && body.reasons.join().includes("limits.json");
    };
    node.writeLimits('{"groups":');
    await until("it is said", 60_000, broken);
    expect((await reserve(node)).body.error.code).toBe("over-limit");
    expect(
      log(berthd.output(), "error")
        .map(({ msg }) => msg)
        .join(),
    ).toContain("The last good limits stay in force");
    berthd.child.kill("SIGTERM");
    await berthd.ended;
    await node.start();
    expect(await broken()).toBe(true);
    const { max_mig_instances } = (await node.call("GET", "/api/limits/alice")).body;
    expect(max_mig_instances.value).toBe(2);
    node.writeLimits(allow(3));
    await until("three are allowed", 60_000, async () => (await reserve(node)).status === 201);
    expect((await node.call("GET", "/health")).body).toEqual({ status: "ok", reasons: [] });
    await until("all is in the log", 60_000, () =>
      lines(node).some(({ event }) => event === "limits-refused"),
    );
  });

  it("takes new users at SIGHUP, and keeps the old ones when node.json is broken", async () => {
    const node = await noded();
    const berthd = await node.start();
    const socket = (user: string) => join(node.paths.usersFolder, user, "berth.sock");
    node.writeNode({ users: [{ name: "carol", group: "staff" }] });
    berthd.child.kill("SIGHUP");
    await until(
      "carol has a socket",
      60_000,
      () => existsSync(socket("carol")) && !existsSync(socket("alice")),
    );
    expect((await node.call("GET", "/api/whoami", { socket: socket("carol") })).body).toMatchObject({
      user: "carol",
    });
    writeFileSync(node.paths.nodeFile, "{");
    await until("it is said", 60_000, () =>
      log(berthd.output(), "error").some(({ msg }) => msg.includes("node.json is not usable")),
    );
    expect((await node.call("GET", "/api/whoami", { socket: socket("carol") })).status).toBe(200);
  });

  it("removes the containers that it made for somebody who leaves, and no others", async () => {
    const node = await noded();
    const made = (owner: string, more: object) => ({ "berth.owner": owner, "berth.stack": "test", ...more });
    const created = { "berth.component": "container", "berth.creation": "00" };
    node.containers.push(
      { Id: "a".repeat(64), labels: made("alice", created) },
      { Id: "b".repeat(64), labels: made("bob", created) },
      { Id: "c".repeat(64), labels: made("bob", { "berth.component": "workspace" }) },
    );
    const berthd = await node.start();
    expect(node.containers).toHaveLength(3);
    node.writeNode({ users: [{ name: "alice", group: "staff" }] });
    berthd.child.kill("SIGHUP");
    await until("bob's is gone", 60_000, () => node.containers.length === 2);
    expect(node.containers.map(({ Id }) => Id[0])).toEqual(["a", "c"]);
  });

  it("writes what many clients ask for at the same time in few transactions", async () => {
    const node = await noded(16);
    await node.start();
    const agent = new Agent({ keepAlive: true, maxSockets: 64 });
    const once = (method: string, path: string, body?: object) =>
      new Promise<{ status: number; body: Grant }>((resolve, reject) => {
        const content = body && JSON.stringify(body);
        const sent = request(
          {
            socketPath: node.paths.socket,
            agent,
            method,
            path,
            headers:
              content === undefined
                ? {}
                : { "content-type": "application/json", "content-length": content.length },
          },
          (response) => {
            let text = "";
            response.on("data", (part) => {
              text += part;
            });
            response.on("end", () =>
              resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Grant }),
            );
          },
        );
        sent.on("error", reject);
        sent.end(content);
      });
    const commits = async () =>
      Number(/berth_commit_seconds_count (\d+)/.exec((await node.call("GET", "/metrics")).text)?.[1]);
    const before = await commits();
    const pairs = 20;
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        for (let n = 0; n < pairs; n++) {
          const made = await once("POST", "/api/grants", { user: "alice", ask });
          expect(made.status).toBe(201);
          expect((await once("DELETE", `/api/grants/${made.body.id}`)).status).toBe(200);
        }
      }),
    );
    agent.destroy();
    const writes = 64 * pairs * 2;
    expect((await commits()) - before).toBeLessThan(writes / 4);
    await until(
      "each is in the log once",
      60_000,
      () => lines(node).filter(({ grant }) => grant !== undefined).length === writes,
    );
  });
});
