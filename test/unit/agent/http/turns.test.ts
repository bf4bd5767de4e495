/** What a connection may cost berthd: requests sent without reading answers, answers that nobody reads, large bodies. */
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, it } from "vitest";
import type { Area } from "../../../../agent/src/http/areas";
import { Turns } from "../../../../agent/src/http/turns";
import { until } from "../../../lib/until";
import { inventoryOf } from "../service/rig";
import { api, endAfterEachTest, endings } from "./cases";

endAfterEachTest();

/** A client that sends text and reads nothing until it is told to. */
function client(to: { path: string } | { port: number }, text: string) {
  const socket = "path" in to ? connect(to) : connect(to.port, "127.0.0.1");
  endings.push(() => socket.destroy());
  let said = "";
  let closed = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  socket.write(text);
  socket.pause();
  return {
    socket,
    closed: () => closed,
    said: () => said,
    read: () => {
      socket.on("data", (part) => {
        said += part.toString("latin1");
      });
      socket.resume();
    },
  };
}
const get = (path: string, headers = "") => `GET ${path} HTTP/1.1\r\nhost: berthd\r\n${headers}\r\n`;

describe("requests of one connection", () => {
  it("end it when there are too many without an answer: nothing piles up", async () => {
    const made = await api();
    const flood = client({ port: made.servers.port as number }, get("/openapi.json").repeat(1600));
    await new Promise((resolve) => setTimeout(resolve, 300));
    flood.read();
    await until(
      "it is over",
      30_000,
      () => flood.closed() || flood.said().split("HTTP/1.1 200").length > 1600,
    );
    expect(flood.said().split("HTTP/1.1 200").length - 1).toBeLessThanOrEqual(17);
    expect((await made.call("GET", "/health", { port: made.servers.port })).status).toBe(200);
  });

  it("are answered one after another when there are a few, in their order", async () => {
    const made = await api();
    const paths = ["/api/whoami", "/openapi.json", "/api/grants", "/nowhere", "/api/whoami"];
    const some = client(
      { path: made.socketOf("alice") },
      paths.map((path, at) => get(path, at === 4 ? "connection: close\r\n" : "")).join(""),
    );
    some.read();
    await until("it is over", 30_000, some.closed);
    expect(some.said().match(/HTTP\/1\.1 \d+/g)).toEqual(
      [200, 200, 200, 404, 200].map((n) => `HTTP/1.1 ${n}`),
    );
    expect(some.said()).toMatch(
      /"user":"alice".*"openapi":"3\.1.*"grants":\[\].*no \/nowhere.*"user":"alice"/s,
    );
  });

  it("wait for one that waits, and go with it", async () => {
    const made = await api({ inventory: inventoryOf(1, 1) });
    const ask = { kind: "mig", count: 1 };
    await made.call("POST", "/api/grants", { socket: made.socketOf("bob"), body: { ask } });
    const body = JSON.stringify({ ask, wait_seconds: 60 });
    const post = `POST /api/grants HTTP/1.1\r\nhost: berthd\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const waiting = client({ path: made.socketOf("alice") }, post + get("/health"));
    waiting.read();
    await until("it waits", 30_000, () => made.ledger.queueLength() === 1);
    expect(waiting.said()).toBe("");
    waiting.socket.write(get("/health").repeat(20));
    await until("it is over", 30_000, waiting.closed);
    await until("it is forgotten", 30_000, () => made.ledger.queueLength() === 0);
    expect(waiting.said()).toBe("");
  });
});

describe("answers that nobody reads", () => {
  const answer = "x".repeat(16 * 1024 * 1024);
  async function server(turns: Turns): Promise<{ port: number; responses: ServerResponse[] }> {
    const responses: ServerResponse[] = [];
    // A path is whose it is, or nobody's.
    const made: Server = createServer((request, response) => {
      responses.push(response);
      const { socket, url: name = "" } = request;
      const payer = { name, known: !name.startsWith("/stranger") };
      turns.take({ socket, payer, response, begin: () => response.end(answer) });
    });
    await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
    endings.push(() => {
      made.closeAllConnections();
      made.close();
    });
    return { port: (made.address() as AddressInfo).port, responses };
  }

  it("go after a while, with their connection", async () => {
    const { port, responses } = await server(new Turns(200));
    client({ port }, get("/"));
    await until("it is answered", 30_000, () => responses.length === 1);
    await until("it is gone", 30_000, () => responses[0]?.destroyed === true);
    expect(responses[0]?.writableFinished).toBe(false);
  });

  /** Clients that read nothing, one after another; of 16 MiB each, so that four are too many. @returns which are cut off */
  async function unread(cut: number, ...paths: string[]): Promise<{ port: number; cut: boolean[] }> {
    const { port, responses } = await server(new Turns(60_000, 56 * 1024 * 1024));
    for (const [n, path] of paths.entries()) {
      client({ port }, get(path));
      await until("it is answered", 30_000, () => responses.length === n + 1);
    }
    const gone = () => responses.map(({ destroyed }) => destroyed);
    await until("so many are gone", 30_000, () => gone().filter(Boolean).length >= cut);
    return { port, cut: gone() };
  }

  it("go beyond so many bytes, the oldest first; who reads gets theirs", async () => {
    const { port, cut } = await unread(1, "/a", "/a", "/a", "/a");
    expect(cut).toEqual([true, false, false, false]);
    const reader = client({ port }, get("/a", "connection: close\r\n"));
    reader.read();
    await until("it has all of it", 30_000, reader.closed);
    expect(reader.said().length).toBeGreaterThan(answer.length);
  });

  it.each([
    ["who was there first", ["/b", "/a", "/a", "/a"], [false, true, false, false]],
    ["who comes between", ["/a", "/b", "/a", "/c", "/a"], [true, false, true, false, false]],
    ["whom it knows, where strangers are", ["/a", "/a", "/stranger", "/a"], [false, false, true, false]],
  ])("are not cut of %s, but the oldest of who has most", async (_, paths, expected) => {
    const { cut } = await unread(expected.filter(Boolean).length, ...paths);
    expect(cut).toEqual(expected);
  });

  it("of one tenant cut nothing of another's, however many they are", async () => {
    const replies: ServerResponse[] = [];
    const area: Area = (app) =>
      void app.get("/api/large", { config: { tenants: true } }, async (_, { raw }) => {
        replies.push(raw);
        return { text: "x".repeat(6 * 1024 * 1024) };
      });
    const made = await api({ node: { tenants: [{ name: "ide" }, { name: "bench" }] }, area });
    const port = made.servers.port as number;
    const large = async (owner: string) => {
      const token = await made.tokens.create({ role: "tenant", owner }, "test");
      const bearer = `authorization: Bearer ${token.ok ? token.value.token : ""}\r\n`;
      return get("/api/large", `${bearer}connection: close\r\n`);
    };
    const [mine, theirs] = [await large("ide"), await large("bench")];
    const slow = client({ port }, mine);
    await until("it is answered", 30_000, () => replies.length === 1);
    for (let n = 0; n < 12; n++) client({ port }, theirs);
    const cut = () => replies.slice(1).filter(({ destroyed }) => destroyed).length;
    await until("all but one are cut", 30_000, () => cut() === 11);
    // One that began before those, and one that comes after them.
    for (const next of [() => slow, () => client({ port }, mine)]) {
      const one = next();
      one.read();
      await until("it is over", 30_000, one.closed);
      expect(one.said().length).toBeGreaterThan(6 * 1024 * 1024);
    }
  });
});

describe("what a user may ask for", () => {
  it("is a shorter page of the history", async () => {
    const made = await api();
    const limits: (number | undefined)[] = [];
    made.ledger.history = (filter) => {
      limits.push(filter?.limit);
      return [];
    };
    for (const limit of ["1000", "200", "7"]) {
      await made.call("GET", `/api/history?limit=${limit}`, { socket: made.socketOf("alice") });
    }
    await made.call("GET", "/api/history", { socket: made.socketOf("alice") });
    expect(limits).toEqual([200, 200, 7, undefined]);
    const token = await made.tokens.create({ role: "service" }, "test");
    await made.call("GET", "/api/history?limit=1000&user=alice", {
      port: made.servers.port,
      token: token.ok ? token.value.token : "",
    });
    expect(limits.at(-1)).toBe(1000);
  });

  it("is no large body for operators: it is refused before it comes", async () => {
    const made = await api();
    const large = client(
      { path: made.socketOf("alice") },
      "POST /api/declared HTTP/1.1\r\nhost: berthd\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n[",
    );
    large.read();
    await until("it is refused", 30_000, () => large.said() !== "");
    expect(large.said()).toMatch(/^HTTP\/1\.1 403 /);
  });
});
