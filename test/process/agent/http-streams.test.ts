/**
 * Streams over real sockets, with clients that are written by hand: Server-Sent Events and what all streams share, on a
 * user's socket and over TCP. Slow readers, tickets, tokens that end, too many, and the end of berthd.
 */
import pino from "pino";
import { describe, expect, it } from "vitest";
import type { Area } from "../../../agent/src/http/areas";
import { eventsIn, get, rawClient, type To } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { api, endAfterEachTest, endings } from "../../unit/agent/http/cases";
import type { Api } from "../../unit/agent/http/rig";

endAfterEachTest();

const soon = 20_000;
function open(to: To, path: string, headers: Record<string, string | undefined> = {}, read = true) {
  const client = rawClient(to, get(path, headers), read);
  endings.push(() => client.socket.destroy());
  return client;
}
async function tokenOf(made: Api, wanted: object): Promise<{ id: string; token: string }> {
  const answer = await made.call("POST", "/api/tokens", { body: wanted });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
}
async function ticketOf(made: Api, options: object, body: object = { path: "/api/events" }): Promise<string> {
  const answer = await made.call("POST", "/api/tickets", { ...options, body });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.ticket;
}
const happened = (made: Api, user: string, message: string) =>
  made.ledger.emit({ event: "test", message, user });
const messages = (said: string) => eventsIn(said).map(({ data }) => data.code ?? data.message);
/** What a client would send as Last-Event-ID. */
const lastId = (said: string) => [...said.matchAll(/^id: (.*)$/gm)].at(-1)?.[1];
const started = (said: () => string) =>
  until("it has begun", soon, () => /retry: .*id: \d+\n\n/s.test(said()));

/** Both ways in for alice. */
const ways = ["her socket", "TCP"] as const;
async function alice(made: Api, way: (typeof ways)[number]) {
  if (way === "her socket") return { to: { path: made.socketOf("alice") }, headers: {}, end: undefined };
  const { id, token } = await tokenOf(made, { role: "user", owner: "alice" });
  return {
    to: { port: made.servers.port as number },
    headers: { authorization: `Bearer ${token}` },
    end: () => made.call("DELETE", `/api/tokens/${id}`),
  };
}

describe.each(ways)("events, over %s", (way) => {
  it("come as they happen, with their numbers; a user's are those of its own grants", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const client = open(to, "/api/events", headers);
    await started(client.said);
    await happened(made, "alice", "hers");
    await happened(made, "bob", "his");
    await happened(made, "alice", 'hers, of "bob"');
    await until("they are here", soon, () => messages(client.said()).length === 2);
    expect(messages(client.said())).toEqual(["hers", 'hers, of "bob"']);
    expect(client.said()).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-type: text\/event-stream/);
    expect(client.said()).toContain("no-transform");
    const [first, second] = eventsIn(client.said());
    expect(Number(second?.id)).toBe(Number(first?.id) + 2);
    expect(first?.data.seq).toBe(Number(first?.id));
  });

  it("go on after the one that the client had last, each once", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    for (const message of ["one", "two", "three"]) await happened(made, "alice", message);
    const all = open(to, "/api/events", { ...headers, "last-event-id": "0" });
    await until("all are here", soon, () => messages(all.said()).length === 3);
    const [, two] = eventsIn(all.said());
    const rest = open(to, "/api/events", { ...headers, "last-event-id": two?.id });
    const asked = open(to, `/api/events?last_event_id=${two?.id}`, headers);
    await Promise.all([started(rest.said), started(asked.said)]);
    await happened(made, "alice", "four");
    for (const { said } of [rest, asked]) {
      await until("the rest is here", soon, () => messages(said()).length === 2);
      expect(messages(said())).toEqual(["three", "four"]);
    }
  });

  it("say so when the client's last one was never given, and give it one to go on with", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const client = open(to, "/api/events", { ...headers, "last-event-id": "123456" });
    await until("it is told", soon, () => client.said().includes("event: gap"));
    const given = lastId(client.said());
    client.socket.destroy();
    await happened(made, "alice", "next");
    const again = open(to, "/api/events", { ...headers, "last-event-id": given });
    await until("it goes on", soon, () => messages(again.said()).includes("next"));
    expect(again.said()).not.toContain("event: gap");
  });

  it("go on for a client that lost the stream before its first one, or saw none for long", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const first = open(to, "/api/events", headers);
    await started(first.said);
    const begun = lastId(first.said());
    expect(eventsIn(first.said())).toEqual([]);
    await Promise.all(Array.from({ length: 1001 }, () => happened(made, "bob", "his")));
    await until("it is told how far it is", soon, () => lastId(first.said()) !== begun);
    expect(Number(lastId(first.said())) - Number(begun)).toBe(1000);
    expect(eventsIn(first.said())).toEqual([]);
    first.socket.destroy();
    await happened(made, "alice", "hers");
    for (const id of [begun, lastId(first.said())]) {
      const again = open(to, "/api/events", { ...headers, "last-event-id": id });
      await until("it is here", soon, () => messages(again.said()).length > 0);
      expect(messages(again.said())).toEqual(["hers"]);
    }
  });

  it("are refused with a number that is none, with a body, and for another user", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const bad = open(to, "/api/events", { ...headers, "last-event-id": "x" });
    await until("it is refused", soon, () => bad.said().startsWith("HTTP/1.1 400 "));
    const body = open(to, "/api/events", { ...headers, "content-length": "200000" });
    await until("it is refused", soon, () => /^HTTP\/1\.1 400 .*takes no body/s.test(body.said()));
    const other = open(to, "/api/events?user=bob", headers);
    await until("it is refused", soon, () => other.said().startsWith("HTTP/1.1 403 "));
  });

  it("end with a reason when berthd does, at once", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const clients = Array.from({ length: 3 }, () => open(to, "/api/events", headers));
    for (const { said } of clients) await started(said);
    const before = Date.now();
    await made.servers.close(5000);
    expect(Date.now() - before).toBeLessThan(3000);
    for (const { said } of clients) expect(messages(said())).toEqual(["closing"]);
  });

  it("end when alice is no user any more", async () => {
    const made = await api();
    const { to, headers } = await alice(made, way);
    const client = open(to, "/api/events", headers);
    await started(client.said);
    made.node.users = [{ name: "bob" }];
    await made.servers.apply();
    await until("it is told", soon, () => messages(client.said()).includes("not-allowed"));
  });

  it("are so many at a time; the next is told to wait", async () => {
    const made = await api({ streams: { account: 3 } });
    const { to, headers } = await alice(made, way);
    const clients = Array.from({ length: 3 }, () => open(to, "/api/events", headers));
    for (const { said } of clients) await started(said);
    const late = open(to, "/api/events", headers);
    await until("it is refused", soon, () => late.said().startsWith("HTTP/1.1 429 "));
    expect(late.said()).toMatch(/retry-after: 5\r\n.*3 open streams/s);
    // Her other way in is the same account's.
    const other = open({ path: made.socketOf("alice") }, "/api/events");
    await until("it is refused", soon, () => other.said().startsWith("HTTP/1.1 429 "));
    const bob = open({ path: made.socketOf("bob") }, "/api/events");
    await started(bob.said);
    clients[0]?.socket.destroy();
    await until("there is room again", soon, async () => {
      const again = open(to, "/api/events", headers);
      await until("it is answered", soon, () => again.said() !== "");
      return again.said().startsWith("HTTP/1.1 200 ");
    });
  });
});

describe("a token's stream", () => {
  it("ends with the token: revoked before that is answered, and expired soon after", async () => {
    const made = await api();
    const { to, headers, end } = await alice(made, "TCP");
    const revoked = open(to, "/api/events", headers);
    await started(revoked.said);
    await end?.();
    await until("it is told", 1000, () => messages(revoked.said()).includes("not-allowed"));
    await until("the stream is over", soon, () => revoked.said().endsWith("\r\n0\r\n\r\n"));

    const short = await tokenOf(made, { role: "service", expires_in_seconds: 1 });
    const expired = open(to, "/api/events", { authorization: `Bearer ${short.token}` });
    await started(expired.said);
    await until("it is told", soon, () => messages(expired.said()).includes("not-allowed"));
  });
});

describe("tickets", () => {
  const path = "/api/events";

  it("open one stream at their path once, as whoever made them", async () => {
    const made = await api();
    const to = { port: made.servers.port as number };
    const ticket = await ticketOf(made, { socket: made.socketOf("alice") });
    expect(ticket).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const client = open(to, `${path}?ticket=${ticket}`);
    await started(client.said);
    await happened(made, "bob", "his");
    await happened(made, "alice", "hers");
    await until("it is here", soon, () => messages(client.said()).length > 0);
    expect(messages(client.said())).toEqual(["hers"]);
    const again = open(to, `${path}?ticket=${ticket}`);
    await until("it is refused", soon, () => /^HTTP\/1\.1 401 .*ticket is unknown, used/s.test(again.said()));
  });

  it("are no token: at another path, or for what is no stream, they are nothing", async () => {
    const area: Area = (app, { streams }) =>
      streams.sse(app, "/api/test/:id", { description: "Nothing.", open: async function* () {} });
    const made = await api({ area });
    const to = { port: made.servers.port as number };
    const ticket = await ticketOf(made, { socket: made.socketOf("alice") });
    for (const other of ["/api/test/1", "/api/whoami", "/api/grants"]) {
      const client = open(to, `${other}?ticket=${ticket}`);
      await until("it is refused", soon, () => client.said().startsWith("HTTP/1.1 401 "));
    }
    const one = await ticketOf(made, { socket: made.socketOf("alice") }, { path: "/api/test/1" });
    const two = open(to, `/api/test/2?ticket=${one}`);
    await until("it is refused", soon, () => two.said().startsWith("HTTP/1.1 401 "));
    const right = open(to, `/api/test/1?ticket=${one}`);
    await until("it is over", soon, () => messages(right.said()).includes("over"));
    const none = await made.call("POST", "/api/tickets", { body: { path: "/api/grants" } });
    expect(none).toMatchObject({ status: 404 });
  });

  it("end after half a minute, and with the token that made them", async () => {
    let time = 1_000_000;
    const made = await api({ now: () => time });
    const port = made.servers.port as number;
    const late = await ticketOf(made, { socket: made.socketOf("alice") });
    time += 30_000;
    const expired = open({ port }, `${path}?ticket=${late}`);
    await until("it is refused", soon, () => expired.said().startsWith("HTTP/1.1 401 "));
    const { id, token } = await tokenOf(made, { role: "service" });
    const orphan = await ticketOf(made, { port, token });
    const stays = open({ port }, `${path}?ticket=${await ticketOf(made, { port, token })}`);
    await started(stays.said);
    await made.call("DELETE", `/api/tokens/${id}`);
    const refused = open({ port }, `${path}?ticket=${orphan}`);
    await until("it is refused", soon, () => refused.said().startsWith("HTTP/1.1 401 "));
    await until("the open one ends", soon, () => messages(stays.said()).includes("not-allowed"));
  });

  it("of a program for a user show what that user may see; on a socket they are the owner's or root's", async () => {
    const made = await api();
    const port = made.servers.port as number;
    const { token } = await tokenOf(made, { role: "service" });
    const forAlice = { path, user: "alice" };
    const client = open({ port }, `${path}?ticket=${await ticketOf(made, { port, token }, forAlice)}`);
    const root = open(
      { path: made.main },
      `${path}?ticket=${await ticketOf(made, { port, token }, forAlice)}`,
    );
    for (const { said } of [client, root]) await started(said);
    await happened(made, "bob", "his");
    await happened(made, "alice", "hers");
    for (const { said } of [client, root]) {
      await until("it is here", soon, () => messages(said()).length > 0);
      expect(messages(said())).toEqual(["hers"]);
    }
    const stolen = await ticketOf(made, { socket: made.socketOf("alice") });
    const bob = open({ path: made.socketOf("bob") }, `${path}?ticket=${stolen}`);
    await until("it is refused", soon, () => bob.said().startsWith("HTTP/1.1 401 "));
    const eve = await made.call("POST", "/api/tickets", { port, token, body: { path, user: "eve" } });
    expect(eve.status).toBe(422);
    const other = await made.call("POST", "/api/tickets", {
      socket: made.socketOf("bob"),
      body: forAlice,
    });
    expect(other.status).toBe(403);
  });

  it("are not counted as requests of whoever made them, who is counted as they are made", async () => {
    const made = await api();
    const port = made.servers.port as number;
    const { token } = await tokenOf(made, { role: "service", requests_per_minute: 2 });
    const all = [];
    for (let n = 0; n < 2; n++) all.push(await ticketOf(made, { port, token }, { path, user: "alice" }));
    expect((await made.call("POST", "/api/tickets", { port, token, body: { path } })).status).toBe(429);
    for (const ticket of all) await started(open({ port }, `${path}?ticket=${ticket}`).said);
  });

  it("are not in the log, whatever becomes of them", async () => {
    const lines: string[] = [];
    const log = pino({ level: "trace" }, { write: (line) => void lines.push(line) });
    const made = await api({ log });
    const to = { port: made.servers.port as number };
    const ticket = await ticketOf(made, { socket: made.socketOf("alice") });
    const uses = ["/api/grants?", `${path}?`, `${path}?`, `${path}?colour=red&`, `${path}?ticket=x&`];
    for (const before of uses) {
      const client = open(to, `${before}ticket=${ticket}`);
      await until("it is answered", soon, () => client.said() !== "");
    }
    expect(lines.join("")).toContain("unknown, used");
    expect(lines.join("")).not.toContain(ticket);
  });

  it("are so many unused of one account; others still make theirs", async () => {
    const made = await api();
    const socket = made.socketOf("alice");
    const all: string[] = [];
    for (let n = 0; n < 64; n++) all.push(await ticketOf(made, { socket }));
    const more = await made.call("POST", "/api/tickets", { socket, body: { path } });
    expect(more).toMatchObject({ status: 429, headers: { "retry-after": "30" } });
    await ticketOf(made, { socket: made.socketOf("bob") });
    await started(open({ path: socket }, `${path}?ticket=${all[0]}`).said);
    await ticketOf(made, { socket });
  });

  it("let in pages of the origin that they name, and only those", async () => {
    const made = await api();
    const to = { port: made.servers.port as number };
    const socket = made.socketOf("alice");
    const page = "https://app.example";
    const named = async () => `${path}?ticket=${await ticketOf(made, { socket }, { path, origin: page })}`;
    const good = open(to, await named(), { origin: page });
    await started(good.said);
    expect(good.said()).toContain(`access-control-allow-origin: ${page}\r\n`);
    const own = open(to, `${path}?ticket=${await ticketOf(made, { socket })}`, { origin: "http://berthd" });
    await started(own.said);
    for (const origin of ["https://evil.example", "null", "https://app.example.evil.example"]) {
      const evil = open(to, await named(), { origin });
      await until("it is refused", soon, () => evil.said().startsWith("HTTP/1.1 403 "));
    }
  });
});

describe("a slow reader", () => {
  it.each(ways)("over %s is sent what it takes, then loses its stream; others are served", async (way) => {
    let asked = 0;
    let ended = 0;
    const area: Area = (app, { streams }) =>
      streams.sse(app, "/api/test", {
        description: "A lot.",
        open: async function* () {
          try {
            for (;;) {
              asked++;
              yield { data: "x".repeat(16 * 1024) };
            }
          } finally {
            ended++;
          }
        },
      });
    const made = await api({ area, streams: { stall: 1500, beat: 200 } });
    const { to, headers } = await alice(made, way);
    const slow = open(to, "/api/test", headers, false);
    let before = -1;
    await until("no more is asked for", soon, async () => {
      const still = asked === before;
      before = asked;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return still && asked > 0;
    });
    // What the kernel takes for it, and one buffer of ours; it would be gigabytes otherwise.
    expect(asked * 16).toBeLessThan(16 * 1024);
    const bob = open({ path: made.socketOf("bob") }, "/api/events");
    await started(bob.said);
    await happened(made, "bob", "his");
    await until("others are served", soon, () => messages(bob.said()).includes("his"));
    await until("its stream ends", soon, () => ended === 1);
    // It does not take the end in time either.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    slow.socket.resume();
    await until("its connection ends", soon, slow.closed);
  });
});

describe("many streams", () => {
  it("leave each account a few: the oldest of who has most gives way", async () => {
    const made = await api({ streams: { account: 6, all: 6, own: 2 } });
    const alices: ReturnType<typeof open>[] = [];
    for (let n = 0; n < 6; n++) {
      const one = open({ path: made.socketOf("alice") }, "/api/events");
      await started(one.said);
      alices.push(one);
    }
    const bobs = [];
    for (let n = 0; n < 3; n++) {
      const one = open({ path: made.socketOf("bob") }, "/api/events");
      await until("it is answered", soon, () => one.said() !== "");
      bobs.push(one.said().slice(9, 12));
    }
    expect(bobs).toEqual(["200", "200", "503"]);
    await until(
      "they are told",
      soon,
      () => alices.filter(({ said }) => /gave-way/.test(said())).length === 2,
    );
    expect(alices.map(({ said }) => /gave-way/.test(said()))).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});
