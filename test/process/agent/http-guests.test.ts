/**
 * Nobody shuts others out, or fills the memory: connections over TCP, whose callers share addresses, and bodies that are
 * sent slowly. Real sockets; and the counts by themselves.
 */
import { EventEmitter } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { Bodies, bodyLimit, bytesOf } from "../../../agent/src/http/bodies";
import { Guests, network } from "../../../agent/src/http/guests";
import { until } from "../../lib/until";
import { api, endAfterEachTest, endings } from "../../unit/agent/http/cases";
import type { Api } from "../../unit/agent/http/rig";

endAfterEachTest();

/** A connection that says this, and tells what comes of it. */
function client(to: { path: string } | { port: number }, text = "") {
  const socket = "path" in to ? connect(to) : connect(to.port, "127.0.0.1");
  endings.push(() => socket.destroy());
  const seen = { said: "", closed: false, open: false };
  socket.on("error", () => {});
  socket.on("connect", () => {
    seen.open = true;
  });
  socket.on("close", () => {
    seen.closed = true;
  });
  socket.on("data", (part) => {
    seen.said += part.toString("latin1");
  });
  if (text !== "") socket.write(text);
  return { socket, seen };
}
const ask = JSON.stringify({ ask: { kind: "mig", count: 1 } });
/** A request whose body does not come. */
const slow = (headers: string) =>
  `POST /api/grants HTTP/1.1\r\nhost: berthd\r\ncontent-type: application/json\r\n${headers}\r\n\r\n${headers.includes("chunked") ? "1\r\n{\r\n" : "{"}`;

describe("bodies that are sent slowly", () => {
  const ways: [string, string][] = [
    ["of a length that is said", `content-length: ${bodyLimit}`],
    ["of a length that is not said", "transfer-encoding: chunked"],
    ["of a length that is too much", `content-length: ${bodyLimit * 1000}`],
  ];
  it.each(ways)(
    "%s: one account has a few at a time, on all of its sockets, and others theirs",
    async (_, headers) => {
      const made = await api();
      const token = await tokenOf(made, { role: "user", owner: "alice" });
      // Those that are too long are refused before they are read, and count until then as well.
      const alices = [
        ...Array.from({ length: 30 }, () => client({ path: made.socketOf("alice") }, slow(headers))),
        ...Array.from({ length: 10 }, () =>
          client({ port: made.servers.port as number }, slow(`${headers}\r\nauthorization: Bearer ${token}`)),
        ),
      ];
      const told = () => alices.filter(({ seen }) => /503 .*as much under way/s.test(seen.said)).length;
      const large = () => alices.filter(({ seen }) => /413/.test(seen.said)).length;
      await until("each is judged", 10_000, () => told() + large() >= (headers.includes("000") ? 40 : 24));
      expect(40 - told() - large()).toBeLessThanOrEqual(16);
      const bob = await made.call("POST", "/api/grants", { socket: made.socketOf("bob"), raw: ask });
      expect(bob.status).toBe(201);
      expect((await made.call("GET", "/api/whoami", { socket: made.socketOf("alice") })).status).toBe(200);
      expect(
        (
          await made.call("POST", "/api/grants", {
            raw: JSON.stringify({ user: "alice", ...JSON.parse(ask) }),
          })
        ).status,
      ).toBe(201);
      for (const { socket } of alices) socket.destroy();
      await until("alice may send again", 10_000, async () => {
        const again = await made.call("POST", "/api/grants", { socket: made.socketOf("alice"), raw: ask });
        return again.status === 201;
      });
    },
  );

  it("by a dozen accounts at once leave each other one room for a request of its own", async () => {
    const made = await api();
    const port = made.servers.port as number;
    const tokens: string[] = [];
    for (let n = 0; n < 12; n++) tokens.push(await tokenOf(made, { role: "service", name: `back-end-${n}` }));
    const slows = tokens.flatMap((token) =>
      Array.from({ length: 16 }, () =>
        client({ port }, slow(`content-length: ${bodyLimit}\r\nauthorization: Bearer ${token}`)),
      ),
    );
    const told = () => slows.filter(({ seen }) => /503 .*All accounts together/s.test(seen.said)).length;
    // 12 of their own and 128 that they share.
    await until("what they share is full", 20_000, () => told() >= 12 * 16 - 12 - 128);
    for (const socket of [made.socketOf("alice"), made.socketOf("bob")]) {
      expect((await made.call("POST", "/api/grants", { socket, raw: ask })).status).toBe(201);
    }
    expect(slows.some(({ seen }) => seen.said.includes("Your account"))).toBe(false);
  });

  it("of requests that wait for their turn are counted too", async () => {
    const made = await api();
    const waiting = JSON.stringify({ ask: { kind: "mig", count: 7 }, wait_seconds: 60 });
    await made.call("POST", "/api/grants", { socket: made.socketOf("bob"), raw: ask });
    const post = (body: string, length = body.length) =>
      `POST /api/grants HTTP/1.1\r\nhost: berthd\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;
    const alices = Array.from({ length: 20 }, () =>
      client({ path: made.socketOf("alice") }, post(waiting) + post("{", bodyLimit)),
    );
    await until("they wait", 10_000, () => made.ledger.queueLength() >= 1);
    const more = Array.from({ length: 3 }, () =>
      client({ path: made.socketOf("alice") }, slow(`content-length: ${bodyLimit}`)),
    );
    const told = () => more.filter(({ seen }) => /503 .*as much under way/s.test(seen.said)).length;
    await until("no more is taken", 10_000, () => told() >= 2);
    expect(alices.length).toBe(20);
  });

  it("are let go of as they end, whatever their end", async () => {
    const made = await api();
    for (let n = 0; n < 40; n++) {
      const body = n % 2 === 0 ? "not json" : JSON.stringify({ padding: "x".repeat(200_000) });
      const answer = await made.call("POST", "/api/grants", { socket: made.socketOf("alice"), raw: body });
      expect(answer.status).toBe(400);
    }
  });
});

async function tokenOf(made: Api, wanted: object): Promise<string> {
  const answer = await made.call("POST", "/api/tokens", { body: { name: "t", ...wanted } });
  expect(answer.status).toBe(201);
  return answer.body.token;
}

describe("connections over TCP", () => {
  const who = (token: string) =>
    `GET /api/whoami HTTP/1.1\r\nhost: berthd\r\nauthorization: Bearer ${token}\r\n\r\n`;

  it("without a token make room for later ones: whoever has a token is served, and stays", async () => {
    const made = await api();
    const port = made.servers.port as number;
    const token = await tokenOf(made, { role: "user", owner: "alice" });
    const kept = client({ port }, who(token));
    await until("alice is served", 10_000, () => kept.seen.said.includes('"user":"alice"'));
    const silent = Array.from({ length: 400 }, () => client({ port }));
    await until("the first are ended", 20_000, () => silent.filter(({ seen }) => seen.closed).length >= 272);
    expect((await made.call("GET", "/api/whoami", { port, token })).body).toMatchObject({ user: "alice" });
    kept.seen.said = "";
    kept.socket.write(who(token));
    await until("alice is served again", 10_000, () => kept.seen.said.includes('"user":"alice"'));
    expect(kept.seen.closed).toBe(false);
  });

  it("with a token have a number for each account, over all of its tokens; others have theirs", async () => {
    const made = await api();
    const port = made.servers.port as number;
    const tokens = [
      await tokenOf(made, { role: "user", owner: "alice" }),
      await tokenOf(made, { role: "user", owner: "alice" }),
    ];
    const bob = await tokenOf(made, { role: "service" });
    const alices: ReturnType<typeof client>[] = [];
    // A few at a time, as those that have not shown their token yet are few.
    for (let n = 0; n < 140; n += 20) {
      const some = Array.from({ length: 20 }, (_, i) => client({ port }, who(tokens[i % 2] as string)));
      alices.push(...some);
      await until("they are answered", 10_000, () =>
        some.every(({ seen }) => seen.said.includes("HTTP/1.1")),
      );
    }
    expect(alices.filter(({ seen }) => seen.said.includes("HTTP/1.1 200")).length).toBe(128);
    expect(alices.filter(({ seen }) => /503 .*as many connections/s.test(seen.said)).length).toBe(12);
    expect((await made.call("GET", "/api/whoami", { port, token: bob })).status).toBe(200);
    for (const { socket } of alices) socket.destroy();
    await until("alice has room again", 10_000, async () => {
      return (await made.call("GET", "/api/whoami", { port, token: tokens[0] })).status === 200;
    });
  });
});

describe("the places of guests", () => {
  const limits = { all: 100, known: 100, person: 5, own: 2, address: 100 };
  const guest = (remoteAddress: string) => {
    const socket = Object.assign(new EventEmitter(), { remoteAddress, ended: false, destroy: () => {} });
    socket.destroy = () => {
      socket.ended = true;
      socket.emit("close");
    };
    return socket as unknown as Socket & { ended: boolean };
  };
  const many = (count: number, address: (n: number) => string) =>
    Array.from({ length: count }, (_, n) => guest(address(n)));

  it("one address, or one IPv6 network, ends its own oldest and nobody else's", () => {
    const guests = new Guests({ ...limits, address: 3 });
    const other = guest("192.0.2.7");
    expect(guests.enter(other)).toBe(true);
    const crowd = many(5, (n) => `2001:db8:1:2::${n + 1}`);
    for (const one of crowd) expect(guests.enter(one)).toBe(true);
    expect(crowd.map(({ ended }) => ended)).toEqual([true, true, false, false, false]);
    expect(other.ended).toBe(false);
  });

  it("when all are taken the largest crowd without a token gives way; with none of that kind nobody gets in", () => {
    const guests = new Guests({ ...limits, all: 4, person: 3, address: 3 });
    const [a, b, c] = many(3, () => "192.0.2.1") as [Socket, Socket, Socket & { ended: boolean }];
    for (const one of [a, b, c, guest("192.0.2.2")]) guests.enter(one);
    expect(guests.prove(b, "user:alice")).toBeUndefined();
    const late = guest("192.0.2.3");
    expect(guests.enter(late)).toBe(true);
    expect([a, b, c].map((one) => (one as unknown as { ended: boolean }).ended)).toEqual([
      true,
      false,
      false,
    ]);
    const full = new Guests({ ...limits, all: 2, person: 3, address: 3 });
    for (const [n, one] of many(2, () => "192.0.2.1").entries()) {
      full.enter(one);
      full.prove(one, `user:${n}`);
    }
    expect(full.enter(guest("192.0.2.9"))).toBe(false);
  });

  /** Connections of an account, as many as are let in, and the answer to the last. */
  const come = (guests: Guests, account: string, count: number) => {
    const all = many(count, () => "192.0.2.1") as (Socket & { ended: boolean })[];
    const said = all.map((one) => {
      expect(guests.enter(one)).toBe(true);
      return guests.prove(one, account);
    });
    return { all, last: said.at(-1), open: () => all.filter(({ ended }, n) => !ended && !said[n]).length };
  };

  it("each account has a few, though others have taken all: the oldest of who has most gives way", () => {
    const guests = new Guests({ ...limits, all: 40, known: 12, own: 2 });
    const crowds = ["a", "b", "c"].map((name) => come(guests, name, 6));
    expect(crowds.map(({ last }) => last)).toEqual(["account", "account", "all"]);
    expect(crowds.map(({ open }) => open())).toEqual([5, 5, 2]);
    const late = ["d", "e", "f"].map((name) => come(guests, name, 3));
    expect(late.map(({ last }) => last)).toEqual(["all", "all", "all"]);
    expect([...crowds, ...late].map(({ open }) => open())).toEqual([2, 2, 2, 2, 2, 2]);
    expect(crowds[0]?.all.map(({ ended }) => ended)).toEqual([true, true, true, false, false, false]);
    // Each has what is its own, and there is no more.
    expect(come(guests, "g", 1).last).toBe("all");
  });

  it("whoever has no token ends none of those that have one", () => {
    const guests = new Guests({ ...limits, all: 20, known: 12 });
    const crowds = ["a", "b", "c"].map((name) => come(guests, name, 4));
    const strangers = many(50, (n) => `192.0.2.${n + 2}`);
    for (const one of strangers) expect(guests.enter(one)).toBe(true);
    expect(crowds.map(({ open }) => open())).toEqual([4, 4, 4]);
  });

  it("one that comes with another's token next takes that one's place", () => {
    const guests = new Guests({ ...limits, all: 10, person: 1, address: 10 });
    const [a, b] = many(2, () => "192.0.2.1") as Socket[] as [Socket, Socket];
    for (const one of [a, b]) guests.enter(one);
    expect(guests.prove(a, "user:alice")).toBeUndefined();
    expect(guests.prove(a, "user:alice")).toBeUndefined();
    expect(guests.prove(b, "user:alice")).toBe("account");
    expect(guests.prove(a, "user:bob")).toBeUndefined();
    expect(guests.prove(b, "user:alice")).toBeUndefined();
    b.emit("close");
    expect(guests.prove(a, "user:alice")).toBeUndefined();
  });

  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::1", "0:0:0:0::/64"],
    ["2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"],
    ["2001:DB8:0:0:1::", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
  ])("%s counts as %s", (address, expected) => {
    expect(network(address)).toBe(expected);
  });
});

describe("bytes under way", () => {
  it("are bounded for one account, and for all together beyond what each has of its own", () => {
    const bodies = new Bodies(100, 150, 10);
    const first = bodies.take("alice", 70);
    expect(bodies.take("alice", 31)).toBe("account");
    const second = bodies.take("bob", 100);
    expect(bodies.take("carol", 11)).toBe("all");
    const own = bodies.take("carol", 10);
    expect(own).toBeTypeOf("function");
    expect(bodies.take("carol", 1)).toBe("all");
    for (const done of [first, first]) if (typeof done === "function") done();
    expect(bodies.take("carol", 61)).toBe("all");
    expect(bodies.take("carol", 60)).toBeTypeOf("function");
    if (typeof second === "function") second();
    expect(bodies.take("alice", 100)).toBeTypeOf("function");
  });

  it("are there for each of many accounts, whoever came first; whoever has shown no token has no own", () => {
    const bodies = new Bodies();
    const accounts = Array.from({ length: 40 }, (_, n) => `user:${n}`);
    for (const account of accounts.slice(0, 12)) for (let n = 0; n < 16; n++) bodies.take(account, bodyLimit);
    expect(bodies.take("address 192.0.2.1", bodyLimit, false)).toBe("all");
    for (const account of accounts.slice(12)) {
      const done = bodies.take(account, bodyLimit);
      expect(done).toBeTypeOf("function");
      expect(bodies.take(account, 1)).toBe("all");
      if (typeof done === "function") done();
      expect(bodies.take(account, bodyLimit)).toBeTypeOf("function");
    }
  });

  it("are counted right whatever comes and goes", () => {
    const bodies = new Bodies(100, 150, 10);
    const under: (() => void)[] = [];
    for (let n = 0; n < 500; n++) {
      const done = bodies.take(`account ${(n * 7) % 5}`, (n * 13) % 60, n % 5 !== 0);
      if (typeof done === "function") under.push(done);
      if (n % 3 === 0) under.splice((n * 5) % Math.max(1, under.length), 1)[0]?.();
    }
    for (const done of under) done();
    expect(bodies.take("a", 100)).toBeTypeOf("function");
    expect(bodies.take("b", 70)).toBeTypeOf("function");
    expect(bodies.take("c", 11)).toBe("all");
  });

  it.each<[Record<string, string>, number]>([
    [{}, 0],
    [{ "content-length": "12" }, 12],
    [{ "content-length": "99999999999" }, bodyLimit],
    [{ "transfer-encoding": "chunked" }, bodyLimit],
    [{ "content-length": "0" }, 0],
  ])("of a request with %o: %d", (headers, expected) => {
    expect(bytesOf({ headers })).toBe(expected);
  });
});
