/** The main socket and the users' over time: nobody shuts others out, and who is no user any more is served no more. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { api as apiOfTest, endAfterEachTest, endings, openToAll } from "../../unit/agent/http/cases";
import { type Api, makeApi } from "../../unit/agent/http/rig";
import { inventoryOf } from "../../unit/agent/service/rig";

endAfterEachTest();

const asRoot = process.getuid?.() === 0;
/** An API whose main socket every account can reach. */
async function api(options?: Parameters<typeof apiOfTest>[0]): Promise<Api> {
  const made = await apiOfTest(options);
  openToAll(made);
  return made;
}

/** A program of another account. */
function program(uid: number, code: string) {
  const child = spawn("/proc/self/exe", ["-e", code], { uid, gid: uid, argv0: "node" });
  endings.push(() => child.kill("SIGKILL"));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part) => {
      text += part;
    });
  }
  return { text: () => text, say: (line: string) => child.stdin.write(`${line}\n`) };
}

/** Connects so many times as each of the accounts, says nothing, and tells what comes of it. */
const connects = (path: string, times: number, uids: number[]) => `
  let open = 0, told = 0, ended = 0;
  const tell = () => console.log("open " + open + " told " + told + " ended " + ended);
  for (const uid of ${JSON.stringify(uids)}) for (let n = 0; n < ${times}; n++) {
    process.seteuid(0);
    process.seteuid(uid);
    const socket = require("node:net").connect(${JSON.stringify(path)}, () => { open++; tell(); });
    socket.on("data", (data) => { if (/503 .*as many connections/s.test(data)) { told++; tell(); } });
    socket.on("error", () => {});
    socket.on("close", () => { ended++; tell(); });
  }`;

/** Asks who it is for each line that it is told, all on one connection. */
const asks = (path: string) => `
  const agent = new (require("node:http").Agent)({ keepAlive: true, maxSockets: 1 });
  let connections = 0;
  require("node:readline").createInterface({ input: process.stdin }).on("line", () => {
    const sent = require("node:http").get({ socketPath: ${JSON.stringify(path)}, path: "/api/whoami", agent }, (r) => {
      let t = ""; r.on("data", (d) => t += d);
      r.on("end", () => console.log(r.statusCode + " " + r.headers.connection + " " + connections + " " + t));
    });
    sent.on("socket", (socket) => { if (!sent.reusedSocket) connections++; });
    sent.on("error", (error) => console.log(error.message));
  });`;

const alice = { name: "alice", uid: 20_001, group: "student" };

describe.runIf(asRoot)("accounts of the node", () => {
  it("do not shut out others: strangers have few connections, and not for long", async () => {
    const made = await api({ node: { users: [alice] } });
    // Two of them, as one account has thousands in a user namespace.
    const strangers = program(0, connects(made.main, 100, [20_002, 20_003]));
    await until("they have what they may", 30_000, () => strangers.text().includes("told 72 ended 72"));
    expect((await made.call("GET", "/api/whoami")).body).toMatchObject({ role: "admin" });
    const user = program(20_001, asks(made.main));
    user.say("who");
    await until("the user is served", 30_000, () => user.text().includes('200 keep-alive 1 {"role":"user"'));
    await until("all are gone", 20_000, () => strangers.text().includes("ended 200"));
    await until("there is room again", 30_000, async () => {
      const late = program(20_002, asks(made.main));
      late.say("who");
      await until("it is answered", 30_000, () => late.text() !== "");
      return late.text().startsWith("403 close ");
    });
  });

  it("that are users have their own share; root has no limit", async () => {
    const made = await api({ node: { users: [alice] } });
    const user = program(0, connects(made.main, 140, [20_001]));
    await until("it has its connections", 30_000, () => user.text().includes("told 12 ended 12"));
    const root = program(0, connects(made.main, 300, [0]));
    await until("root has all", 30_000, () => root.text().includes("open 300 told 0 ended 0"));
    expect((await made.call("GET", "/api/whoami")).body).toMatchObject({ role: "admin" });
    const stranger = program(20_002, asks(made.main));
    stranger.say("who");
    await until("it is turned away", 30_000, () => stranger.text().startsWith("403 close "));
  });

  it("are asked for anew with each request: another user, or none, on the same connection", async () => {
    const made = await api({ node: { users: [alice] } });
    const caller = program(20_001, asks(made.main));
    caller.say("who");
    await until("it is alice", 30_000, () =>
      caller.text().includes('200 keep-alive 1 {"role":"user","user":"alice"'),
    );
    made.node.users = [{ name: "bob", uid: 20_001, group: "student" }];
    caller.say("who");
    await until("it is bob", 30_000, () =>
      caller.text().includes('200 keep-alive 1 {"role":"user","user":"bob"'),
    );
    made.node.users = [];
    caller.say("who");
    await until("it is nobody", 30_000, () => caller.text().includes("403 close 1 "));
  });
});

describe("changes of the users", () => {
  it("come one after another: what an earlier one began does not bring back a user that a later one took away", async () => {
    const made = await api({ inventory: inventoryOf(1, 1) });
    const ask = { kind: "mig", count: 1 };
    await made.call("POST", "/api/grants", { socket: made.socketOf("bob"), body: { ask } });
    const waiting = made.call("POST", "/api/grants", {
      socket: made.socketOf("alice"),
      body: { ask, wait_seconds: 60 },
    });
    await until("it waits", 30_000, () => made.ledger.queueLength() === 1);
    // A request that is never whole: the socket takes 2 s to close.
    const half = `${get("/api/whoami")}GET /health HTTP/1.1\r\n`;
    const client = rawClient({ path: made.socketOf("alice") }, half);
    endings.push(() => client.socket.destroy());
    await until("it is there", 30_000, () => client.said().includes("200 OK"));
    made.node.users = [{ name: "bob" }, { name: "carol" }];
    const first = made.servers.apply();
    await until("it is under way", 30_000, () => !existsSync(made.socketOf("alice")));
    made.node.users = [{ name: "bob" }, { name: "dave" }];
    await Promise.all([first, made.servers.apply()]);
    expect((await waiting).status).toBe(401);
    expect(existsSync(made.socketOf("carol"))).toBe(false);
    expect((await made.call("GET", "/api/whoami", { socket: made.socketOf("dave") })).body).toMatchObject({
      user: "dave",
    });
  });

  it("hold for connections that are open: a user's socket is nobody's once the user is gone", async () => {
    const made = await api();
    made.node.users = [{ name: "bob" }];
    // The socket is closed a little later.
    const answer = await made.call("GET", "/api/whoami", { socket: made.socketOf("alice") });
    expect(answer.status).toBe(403);
    expect(answer.body.error.message).toContain("alice is not one of this node's users any more");
  });

  it("do nothing any more once berthd ends", async () => {
    const made = await makeApi();
    made.node.users = [{ name: "bob" }, { name: "carol" }];
    const applying = made.servers.apply();
    const closing = made.servers.close(500);
    await Promise.all([applying, closing]);
    await made.servers.apply();
    expect(existsSync(made.socketOf("carol"))).toBe(false);
    await made.close();
  });
});
