/**
 * WebSockets over real sockets, through a route that only this test has: on a user's socket and over TCP. Who may,
 * both ways of back-pressure, floods, silence, and how each of them ends.
 */
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import pino from "pino";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Area } from "../../../agent/src/http/areas";
import { Refused } from "../../../agent/src/http/failures";
import { get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { api, endAfterEachTest, endings } from "../../unit/agent/http/cases";
import type { Api, ApiOptions } from "../../unit/agent/http/rig";

endAfterEachTest();

const soon = 20_000;
/** What the route has done since the test began. */
let seen: { ended: number; pushed: number; asked: number };

/** `/api/test/:how`: what it is told comes back, or another thing. */
const area: Area = (app, { streams }) =>
  streams.webSocket(app, "/api/test/:how", {
    description: "For tests.",
    protocol: "berth.test",
    params: z.strictObject({ how: z.string() }),
    query: z.object({ size: z.string().optional() }),
    idle: 1500,
    maxMessage: 1000,
    open: ({ params, query }, { identity, signal }) => {
      if (params.how === "none") throw new Refused({ code: "not-found", message: "There is none." });
      signal.addEventListener("abort", () => seen.ended++);
      return async ({ stream, push }) => {
        if (params.how === "fail") throw new Error("broken");
        if (params.how === "who") stream.write(`${identity.role} ${identity.user} ${query.size}`);
        if (params.how === "done") return;
        if (params.how === "flood") {
          stream.resume();
          while (push(Buffer.alloc(10_000))) seen.pushed++;
          return;
        }
        if (params.how === "pour") {
          stream.resume();
          const source = async function* () {
            for (;;) {
              seen.asked++;
              yield Buffer.alloc(10_000);
            }
          };
          await pipeline(source, stream, { signal });
        }
        if (params.how === "stuck") await once(signal, "abort");
        for await (const message of stream) stream.write(message);
      };
    },
  });

async function made(options: ApiOptions = {}): Promise<Api> {
  seen = { ended: 0, pushed: 0, asked: 0 };
  return api({ area, ...options });
}
interface Seen {
  ws: WebSocket;
  messages: string[];
  /** The close code, or the status and body of a refusal. */
  end(): string;
}
function client(url: string, options: object = {}, protocols: string[] = []): Seen {
  const ws = new WebSocket(url, protocols, options);
  endings.push(() => ws.terminate());
  let end = "";
  const messages: string[] = [];
  ws.on("message", (data, binary) => messages.push(binary ? `${(data as Buffer).length} bytes` : `${data}`));
  ws.on("close", (code, reason) => {
    end ||= `${code} ${reason}`;
  });
  ws.on("error", () => {});
  ws.on("unexpected-response", (_request, response) => {
    let text = "";
    response.on("data", (part) => {
      text += part;
    });
    response.on("end", () => {
      end = `${response.statusCode} ${text}`;
    });
  });
  return { ws, messages, end: () => end };
}

const ways = ["her socket", "TCP"] as const;
/** A WebSocket of alice's. */
async function alice(of: Api, way: (typeof ways)[number], path: string, protocols?: string[]) {
  if (way === "her socket") {
    return { ...client(`ws+unix:${of.socketOf("alice")}:${path}`, {}, protocols), revoke: undefined };
  }
  const { body } = await of.call("POST", "/api/tokens", { body: { role: "user", owner: "alice" } });
  const headers = { authorization: `Bearer ${body.token}` };
  return {
    ...client(`ws://127.0.0.1:${of.servers.port}${path}`, { headers }, protocols),
    revoke: () => of.call("DELETE", `/api/tokens/${body.id}`),
  };
}
const opened = ({ ws }: Seen) => until("it is open", soon, () => ws.readyState === WebSocket.OPEN);

describe.each(ways)("a WebSocket over %s", (way) => {
  it("knows its caller, and carries text and bytes both ways", async () => {
    const of = await made();
    const one = await alice(of, way, "/api/test/who?size=3", ["other", "berth.test"]);
    await opened(one);
    expect(one.ws.protocol).toBe("berth.test");
    one.ws.send("häl");
    one.ws.send(Buffer.alloc(500));
    await until("all is back", soon, () => one.messages.length === 3);
    expect(one.messages).toEqual(["user alice 3", "häl", "500 bytes"]);
    one.ws.close();
    await until("the source is told", soon, () => seen.ended === 1);
  });

  it("is refused before it is one: what is not there, what is wrong, too many", async () => {
    const of = await made({ streams: { account: 2 } });
    const none = await alice(of, way, "/api/test/none");
    await until("it is refused", soon, () => none.end().startsWith("404 "));
    const wrong = await alice(of, way, "/api/test/who?colour=red");
    await until("it is refused", soon, () => /^400 .*colour/.test(wrong.end()));
    for (let n = 0; n < 2; n++) await opened(await alice(of, way, "/api/test/echo"));
    const late = await alice(of, way, "/api/test/echo");
    await until("it is refused", soon, () => /^429 .*2 open streams/.test(late.end()));
  });

  it("ends with a code that says why", async () => {
    const failures: string[] = [];
    const of = await made({ log: pino({ level: "error" }, { write: (line) => void failures.push(line) }) });
    const ends: [string, RegExp][] = [
      ["done", /^1000 /],
      ["fail", /^1011 /],
      ["echo", /^4010 /],
    ];
    for (const [how, code] of ends) {
      const one = await alice(of, way, `/api/test/${how}`);
      await until(`${how} ends`, soon, () => one.end() !== "");
      expect(one.end()).toMatch(code);
    }
    const large = await alice(of, way, "/api/test/echo");
    await opened(large);
    large.ws.send("x".repeat(1001));
    await until("it ends", soon, () => large.end().startsWith("1009 "));
    const pieces = await alice(of, way, "/api/test/echo");
    await opened(pieces);
    for (let n = 0; n < 300; n++) pieces.ws.send("x", { fin: false });
    await until("it ends", soon, () => pieces.end().startsWith("1008 "));
    expect((await of.call("GET", "/api/whoami")).status).toBe(200);
    // What a client does wrong is no failure of berthd's.
    expect(failures).toEqual([expect.stringContaining("broken")]);
  });

  it("ends when alice may not act any more, and when berthd stops", async () => {
    const of = await made();
    const one = await alice(of, way, "/api/test/echo");
    await opened(one);
    if (one.revoke) await one.revoke();
    else {
      of.node.users = [{ name: "bob" }];
      await of.servers.apply();
    }
    await until("it ends", soon, () => one.end().startsWith("4003 "));
    of.node.users = [{ name: "alice" }, { name: "bob" }];
    await of.servers.apply();
    const two = await alice(of, way, "/api/test/echo");
    await opened(two);
    const before = Date.now();
    await of.servers.close(5000);
    expect(Date.now() - before).toBeLessThan(3000);
    await until("it ends", soon, () => two.end().startsWith("1001 "));
  });

  it("pauses what can be paused for a slow client, which loses it in the end", async () => {
    const of = await made({ streams: { stall: 1500 } });
    const one = await alice(of, way, "/api/test/pour");
    await opened(one);
    one.ws.pause();
    let before = -1;
    await until("no more is asked for", soon, async () => {
      const still = seen.asked === before;
      before = seen.asked;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return still && seen.asked > 0;
    });
    expect(seen.asked * 10_000).toBeLessThan(16 * 1024 * 1024);
    expect((await of.call("GET", "/api/whoami", { socket: of.socketOf("bob") })).status).toBe(200);
    await until("the source is told", soon, () => seen.ended === 1);
  });

  it("ends for a slow client where the source cannot be paused", async () => {
    const of = await made();
    const one = await alice(of, way, "/api/test/flood");
    await until("the source is told", soon, () => seen.ended === 1);
    // One turn: nothing is read meanwhile, so all beyond the kernel's part was in memory.
    expect(seen.pushed).toBeGreaterThan(10);
    expect(seen.pushed * 10_000).toBeLessThan(16 * 1024 * 1024);
    await until("it ends", soon, () => one.end() !== "");
  });

  it("ends for a client that pings without end and reads nothing", async () => {
    const of = await made();
    const one = await alice(of, way, "/api/test/echo");
    await opened(one);
    one.ws.pause();
    const pings = setInterval(() => {
      for (let n = 0; n < 1000; n++) if (one.ws.readyState === WebSocket.OPEN) one.ws.ping(Buffer.alloc(125));
    }, 5);
    endings.push(() => clearInterval(pings));
    await until("it ends", soon, () => seen.ended === 1);
  });

  it("ends for a client that does not answer, but not while its messages wait to be read", async () => {
    const of = await made({ streams: { beat: 200 } });
    const dead = await alice(of, way, "/api/test/echo");
    await opened(dead);
    dead.ws.pause();
    await until("it ends", soon, () => seen.ended === 1);
    const busy = await alice(of, way, "/api/test/stuck");
    await opened(busy);
    for (let n = 0; n < 200; n++) busy.ws.send("x".repeat(900));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(busy.ws.readyState).toBe(WebSocket.OPEN);
  });
});

describe("who may open a WebSocket", () => {
  const url = (of: Api) => `ws://127.0.0.1:${of.servers.port}/api/test/who`;

  it("over TCP: whoever has a token or a ticket of that path, which is good once", async () => {
    const of = await made();
    for (const headers of [{}, { authorization: "Bearer berth_wrong" }]) {
      const none = client(url(of), { headers });
      await until("it is refused", soon, () => none.end().startsWith("401 "));
    }
    const { body } = await of.call("POST", "/api/tickets", {
      socket: of.socketOf("alice"),
      body: { path: "/api/test/who" },
    });
    const other = client(url(of).replace("who", `echo?ticket=${body.ticket}`));
    await until("it is refused", soon, () => other.end().startsWith("401 "));
    const first = client(`${url(of)}?ticket=${body.ticket}`);
    await until("it is alice", soon, () => first.messages[0] === "user alice undefined");
    const second = client(`${url(of)}?ticket=${body.ticket}`);
    await until("it is refused", soon, () => second.end().startsWith("401 "));
  });

  it("no page of another site, whatever it brings", async () => {
    const of = await made();
    const { body } = await of.call("POST", "/api/tokens", { body: { role: "service" } });
    const headers = { authorization: `Bearer ${body.token}` };
    for (const origin of [
      "https://evil.example",
      "null",
      `https://127.0.0.1:${of.servers.port}.evil.example`,
    ]) {
      const evil = client(url(of), { headers, origin });
      await until("it is refused", soon, () => evil.end().startsWith("403 "));
    }
    const own = client(url(of), { headers, origin: `http://127.0.0.1:${of.servers.port}` });
    await opened(own);
  });
});

describe("upgrades that are none", () => {
  const upgrade = { connection: "Upgrade", upgrade: "websocket" };
  const handshake = {
    ...upgrade,
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
  };
  const raw = (of: Api, text: string) => {
    const one = rawClient({ path: of.socketOf("alice") }, text);
    endings.push(() => one.socket.destroy());
    return one;
  };

  it("are answered like any request: another path, another protocol, another method, no upgrade at all", async () => {
    const of = await made();
    const who = raw(of, get("/api/whoami", handshake));
    await until("it is answered", soon, () => /^HTTP\/1\.1 200 .*"user":"alice"/s.test(who.said()));
    who.socket.write(get("/api/whoami", handshake));
    await until("the next is too", soon, () => who.said().split('"user":"alice"').length === 3);
    const events = raw(of, get("/api/events", handshake));
    await until("it is a stream of events", soon, () => events.said().includes("text/event-stream"));
    const missing = raw(of, get("/nowhere", handshake));
    await until("it is answered", soon, () => missing.said().startsWith("HTTP/1.1 404 "));
    const h2c = raw(of, get("/api/whoami", { connection: "Upgrade", upgrade: "h2c" }));
    await until("it is answered", soon, () => h2c.said().startsWith("HTTP/1.1 200 "));
    const plain = raw(of, get("/api/test/echo"));
    await until("it is answered", soon, () => /^HTTP\/1\.1 426 .*is a WebSocket/s.test(plain.said()));
    const post = raw(
      of,
      get("/api/test/echo", { ...handshake, "content-length": "0" }).replace("GET", "POST"),
    );
    await until("it is answered", soon, () => post.said().startsWith("HTTP/1.1 405 "));
  });

  it("leave no stream behind when the handshake is wrong", async () => {
    const of = await made({ streams: { account: 1 } });
    for (let n = 0; n < 3; n++) {
      const bad = raw(of, get("/api/test/echo", upgrade));
      await until("it is refused", soon, () => bad.said().startsWith("HTTP/1.1 400 "));
      await until("its connection ends", soon, bad.closed);
    }
    await opened(await alice(of, "her socket", "/api/test/echo"));
  });

  it("behind a request that is not answered yet end the connection; errors of it end nothing else", async () => {
    const of = await made();
    const both = raw(of, get("/api/events") + get("/api/test/echo", handshake));
    await until("it ends", soon, both.closed);
    for (let n = 0; n < 20; n++) {
      const gone = raw(of, get("/api/test/echo", handshake));
      await until("it is sent", soon, () => gone.socket.bytesWritten > 0);
      gone.socket.destroy();
    }
    expect((await of.call("GET", "/api/whoami")).status).toBe(200);
  });
});
