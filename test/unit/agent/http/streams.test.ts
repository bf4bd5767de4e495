/** The pure parts of streams: the wire format of events, tickets, origins; and reading the event log from a number on. */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { EventFollower, type Followed } from "../../../../agent/src/event-follow";
import { EventLog, healEventLog } from "../../../../agent/src/events";
import type { Identity } from "../../../../agent/src/http";
import { sseText } from "../../../../agent/src/http/sse";
import { originAllowed, Tickets, ticketOf } from "../../../../agent/src/http/tickets";

describe("an event on the wire", () => {
  it.each([
    [{ data: "a" }, "data: a\n\n"],
    [{ id: "7", event: "end", data: "a" }, "id: 7\nevent: end\ndata: a\n\n"],
    [{ data: "a\nb\r\nc\rd" }, "data: a\ndata: b\ndata: c\ndata: d\n\n"],
    [{ data: "" }, "data: \n\n"],
  ])("%o", (event, text) => {
    expect(sseText(event)).toBe(text);
  });

  it("of no data only tells the id", () => {
    expect(sseText({ id: "7" })).toBe("id: 7\n\n");
  });

  it("has no id or name that would end its field", () => {
    expect(() => sseText({ id: "1\ndata: x", data: "" })).toThrow("line end");
    expect(() => sseText({ event: "a\rb", data: "" })).toThrow("line end");
  });
});

describe("tickets", () => {
  const identity: Identity = { role: "user", user: "alice", actor: "user:alice" };
  let time = 0;
  let good = true;
  const wanted = { identity, path: "/a", holds: () => good };
  const make = (tickets: Tickets, account = "user:alice") => {
    const made = tickets.make(wanted, account);
    if (typeof made === "string") throw new Error(made);
    return made;
  };

  it("are good once, at their path, for their time, while their maker is", () => {
    time = 1000;
    good = true;
    const tickets = new Tickets(() => time, 30_000);
    const { ticket, expiresAt } = make(tickets);
    expect(expiresAt).toBe(31_000);
    expect(tickets.take(ticket, "/b")).toBeUndefined();
    expect(tickets.take("x", "/a")).toBeUndefined();
    good = false;
    expect(tickets.take(ticket, "/a")).toBeUndefined();
    good = true;
    expect(tickets.find(ticket, "/a")?.identity).toBe(identity);
    expect(tickets.take(ticket, "/a")?.identity).toBe(identity);
    expect(tickets.take(ticket, "/a")).toBeUndefined();
    const late = make(tickets);
    time = 31_000;
    expect(tickets.find(late.ticket, "/a")).toBeUndefined();
  });

  it("are so many, of an account and of all; those that are over make room", () => {
    time = 0;
    const tickets = new Tickets(() => time, 30_000, { account: 2, all: 3 });
    make(tickets);
    make(tickets);
    expect(tickets.make(wanted, "user:alice")).toBe("account");
    make(tickets, "user:bob");
    expect(tickets.make(wanted, "user:carol")).toBe("all");
    time = 30_000;
    make(tickets);
    make(tickets);
  });

  it.each([
    ["/a", undefined],
    ["/a?x=1", undefined],
    ["/a?x=1&ticket=b-_", "b-_"],
    ["/a?ticket=b&ticket=c", "b"],
  ])("in %s: %s", (url, ticket) => {
    expect(ticketOf(url)).toBe(ticket);
  });
});

describe("pages that may open a stream", () => {
  it.each<[string | undefined, string | undefined, string | undefined, boolean]>([
    [undefined, "node", undefined, true],
    ["http://node", "node", undefined, true],
    ["https://node", "node:443", undefined, true],
    ["http://node:9700", "node:9700", undefined, true],
    ["https://node", "node:80", undefined, false],
    ["http://node", "node:9700", undefined, false],
    ["http://node.evil", "node", undefined, false],
    ["http://evil", "node", undefined, false],
    ["null", "node", undefined, false],
    ["", "node", undefined, false],
    ["http://node/", "node", undefined, false],
    ["http://[::1]:9700", "[::1]:9700", undefined, true],
    ["http://node", undefined, undefined, false],
    ["https://app", "node", "https://app", true],
    ["https://app:444", "node", "https://app", false],
  ])("%s at %s, where a ticket names %s: %s", (origin, host, allowed, expected) => {
    expect(originAllowed(origin, host, allowed === undefined ? undefined : ["https://other", allowed])).toBe(
      expected,
    );
  });
});

describe("following the event log", () => {
  const endings: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });
  /** A log whose files are small, with these lines, each of about so many bytes. */
  async function logOf(count: number, options: { bytes?: number; maxBytes?: number; keep?: number } = {}) {
    const { bytes = 100, ...more } = options;
    const folder = mkdtempSync(join(tmpdir(), "follow-"));
    const file = join(folder, "events.jsonl");
    let log = new EventLog(file, 0, more);
    let follower = new EventFollower(log);
    const add = (from: number, to: number) => {
      for (let seq = from; seq <= to; seq++) {
        log.append([{ seq, line: JSON.stringify({ seq, text: "x".repeat(bytes) }) }]);
        log.retry();
      }
    };
    for (let seq = 1; seq <= count; seq += 50) {
      add(seq, Math.min(seq + 49, count));
      while (log.backlog > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    endings.push(() => rmSync(folder, { recursive: true }));
    endings.push(() => log.close());
    return {
      file,
      add,
      /** As after a restart: nothing is in memory. */
      reopen: async () => {
        await log.close();
        log = new EventLog(file, healEventLog(file).seq, more);
        follower = new EventFollower(log);
      },
      /** What comes until there are no more, or so many. */
      read: async (after: number | undefined, most: number) => {
        const stop = new AbortController();
        const all: Followed[] = [];
        for await (const one of follower.follow(after, stop.signal)) {
          if (!("at" in one)) all.push(one);
          else expect(one.at).toBe(after);
          if (all.length >= most) break;
        }
        return all.map((one) => ("gap" in one ? one.gap : "seq" in one ? one.seq : one));
      },
      follow: (after: number | undefined, signal: AbortSignal) => follower.follow(after, signal),
    };
  }
  const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

  it("goes on after any number, from memory, and from its files after a restart", async () => {
    const log = await logOf(300, { maxBytes: 10_000, keep: 5 });
    for (const restarted of [false, true]) {
      if (restarted) await log.reopen();
      for (const after of [120, 199, 250, 299]) {
        expect(await log.read(after, 300 - after), `${after}`).toEqual(numbers(after + 1, 300));
      }
    }
  });

  it("finds its place in a large file, whatever the length of its lines", async () => {
    const log = await logOf(400, { bytes: 3000 });
    await log.reopen();
    for (const after of [0, 1, 20, 21, 22, 200, 377, 398]) {
      expect(await log.read(after, 2), `${after}`).toEqual([after + 1, after + 2].filter((n) => n <= 400));
    }
    // Longer than what is looked at in one go.
    const long = await logOf(8, { bytes: 200_000 });
    await long.reopen();
    expect(await long.read(5, 3)).toEqual([6, 7, 8]);
  });

  it("says what is not kept any more", async () => {
    const log = await logOf(300, { maxBytes: 10_000, keep: 1 });
    await log.reopen();
    const [gap, next] = await log.read(0, 2);
    expect(gap).toEqual({ after: 0, before: next });
    expect(next).toBeGreaterThan(1);
    rmSync(log.file);
    rmSync(`${log.file}.1`);
    log.add(301, 301);
    expect(await log.read(200, 2)).toEqual([{ after: 200, before: 301 }, 301]);
  });

  it("reads one block at a time, however many begin far back, each of them all", async () => {
    const log = await logOf(2000, { bytes: 300 });
    await log.reopen();
    const many = Array.from({ length: 20 }, () => log.read(0, 2000));
    for (const got of await Promise.all(many)) expect(got).toEqual(numbers(1, 2000));
    // Those that have gone meanwhile are read nothing for.
    const gone = new AbortController();
    const left = log.follow(0, gone.signal);
    expect(await left.next()).toMatchObject({ value: { at: 0 } });
    gone.abort();
    expect(await left.next()).toMatchObject({ done: true });
  });

  it("hands on what comes, each once, while files are put aside; half a line is left alone", async () => {
    const log = await logOf(10, { maxBytes: 2000, keep: 5 });
    await log.reopen();
    const stop = new AbortController();
    const got: number[] = [];
    const reading = (async () => {
      for await (const one of log.follow(4, stop.signal)) if ("seq" in one) got.push(one.seq);
    })();
    for (let seq = 11; seq <= 100; seq++) {
      log.add(seq, seq);
      if (seq % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    while (got.length < 96) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(got).toEqual(numbers(5, 100));
    stop.abort();
    await reading;
    appendFileSync(log.file, '{"seq":101,"text":"x');
    const late = new AbortController();
    setTimeout(() => late.abort(), 200);
    const rest: number[] = [];
    for await (const one of log.follow(100, late.signal)) if ("seq" in one) rest.push(one.seq);
    expect(rest).toEqual([]);
  });
});
