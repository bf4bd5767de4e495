/**
 * What berthd tells a back-end of its containers, over real HTTP to a receiver on loopback, out of a real database; the
 * clock is the test's. Proves: signed, in order, at least once, also over a berthd that is killed; tried again with
 * growing waits and given up after an hour; bounded; and no secret in logs and events.
 */
import { createHmac } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { until } from "../../lib/until";
import {
  asleep,
  callbacksForEachTest,
  node,
  none,
  receiver,
  SECRET,
  sent,
  status,
  taken,
  urlOf,
} from "./callback-rig";

callbacksForEachTest();

const HOUR = 3_600_000;

describe("a message", () => {
  it("is a POST of JSON that its receiver can verify with the shared secret", async () => {
    await node.tell("0a1b2c3d", urlOf(receiver), { message: "done: „ready“ 🎉" });
    await none();
    const [got] = receiver.got;
    expect(got?.path).toBe("/hooks/alice-7f3a?k=hidden");
    expect(got?.headers).toMatchObject({
      "content-type": "application/json",
      authorization: `Bearer ${SECRET}`,
      "x-berth-signature": `sha256=${createHmac("sha256", SECRET)
        .update(got?.body ?? "")
        .digest("hex")}`,
      "content-length": String(Buffer.byteLength(got?.body ?? "")),
    });
    expect(got?.message).toEqual({
      containerId: "0a1b2c3d",
      name: "web",
      repo: "owner/repo",
      branch: "main",
      phase: "cloning",
      status: "running",
      message: "done: „ready“ 🎉",
      hostPort: 20_000,
      url: "http://192.0.2.1:20000",
      logsUrl: "http://192.0.2.1:8080/api/containers/0a1b2c3d/logs",
      sequence: 1,
      timestamp: node.clock.now,
    });
  });

  it("is the same to the byte each time that it is tried", async () => {
    receiver.answer = (response, got) => (receiver.got.length < 3 ? status(500) : taken)(response, got);
    await node.tell("a", urlOf(receiver));
    for (const tries of [1, 2]) {
      await sent(tries);
      await asleep();
      node.clock.passToNext();
    }
    await none();
    const seen = receiver.got.map(({ body, headers }) => [body, headers["x-berth-signature"]]);
    expect(seen).toEqual([seen[0], seen[0], seen[0]]);
  });

  it("of which a turn that fails was to tell is never sent", async () => {
    await node.tell("a", urlOf(receiver));
    await none();
    await node.refused("a", urlOf(receiver));
    await node.tell("a", urlOf(receiver));
    await none();
    expect(receiver.seen).toEqual(["a/1", "a/3"]);
  });
});

describe("those of one container", () => {
  it("come in order, though one fails a few times; another container's go on meanwhile", async () => {
    const failing = new Set(["a/2"]);
    receiver.answer = (response, got) =>
      (failing.has(`${got.message.containerId}/${got.message.sequence}`) ? status(503) : taken)(
        response,
        got,
      );
    await node.tell("a", urlOf(receiver), { count: 4 });
    await node.tell("b", urlOf(receiver), { count: 3 });
    await until("all but those behind the failed one", 20_000, () => node.kept.join() === "a/2,a/3,a/4");
    await asleep();
    expect(receiver.seen.filter((one) => one.startsWith("a"))).toEqual(["a/1", "a/2"]);
    expect(receiver.seen.filter((one) => one.startsWith("b"))).toEqual(["b/5", "b/6", "b/7"]);
    failing.clear();
    node.clock.passToNext();
    await none();
    expect(receiver.seen.filter((one) => one.startsWith("a"))).toEqual(["a/1", "a/2", "a/2", "a/3", "a/4"]);
  });

  it("are tried after waits that double to a minute, and given up one by one after an hour, with an event", async () => {
    receiver.answer = status(500);
    const began = node.clock.now;
    await node.tell("a", urlOf(receiver), { message: "x" });
    await sent(1);
    while (node.dropped.length === 0) {
      const tries = receiver.got.length;
      await asleep();
      // Told in the last minutes: it has its own hour.
      if (node.clock.now - began > HOUR - 200_000 && node.kept.length === 1)
        await node.tell("a", urlOf(receiver));
      node.clock.passToNext();
      await until("the next try", 20_000, () => receiver.got.length > tries);
      await until("its end", 20_000, () => node.clock.asleep > 0);
    }
    expect(node.clock.waits.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((s) => s * 1000));
    expect(Math.max(...node.clock.waits)).toBe(60_000);
    expect(node.clock.now - began).toBeGreaterThanOrEqual(HOUR);
    expect(node.clock.now - began).toBeLessThan(HOUR + 60_000);
    expect(node.dropped).toEqual([
      expect.objectContaining({
        container: "a",
        owner: "alice",
        sequence: 1,
        host: `127.0.0.1:${receiver.port}`,
        message: expect.stringContaining("the answer was 500"),
      }),
    ]);
    expect(node.kept).toEqual(["a/2"]);
    receiver.answer = taken;
    node.clock.passToNext();
    await none();
    expect(receiver.seen.at(-1)).toBe("a/2");
    expect(node.dropped).toHaveLength(1);
  });

  it("begin with short waits again after one was taken", async () => {
    receiver.answer = status(500);
    await node.tell("a", urlOf(receiver), { count: 2 });
    for (const tries of [1, 2, 3]) {
      await sent(tries);
      await asleep();
      if (tries === 3)
        receiver.answer = (response, got) => status(got.message.sequence === 1 ? 200 : 500)(response, got);
      node.clock.passToNext();
    }
    await sent(5);
    await asleep();
    expect(node.clock.waits).toEqual([1000, 2000, 4000, 1000]);
  });

  it("wait for the note that the one before was taken, which is then not sent again", async () => {
    receiver.answer = (response) => {
      node.full = { code: "closed", message: "The ledger could not be written." };
      taken(response, receiver.got[0] as never);
    };
    await node.tell("a", urlOf(receiver), { count: 1 });
    await asleep();
    node.full = undefined;
    await node.tell("a", urlOf(receiver));
    expect(receiver.seen).toEqual(["a/1"]);
    expect(node.kept).toEqual(["a/1", "a/2"]);
    receiver.answer = taken;
    node.clock.passToNext();
    await none();
    expect(receiver.seen).toEqual(["a/1", "a/2"]);
  });
});

describe("a berthd that is killed", () => {
  it("before a message was sent leaves it to the next one, with all behind it", async () => {
    receiver.answer = status(502);
    await node.tell("a", urlOf(receiver), { count: 3 });
    await node.tell("b", urlOf(receiver), { count: 2 });
    await asleep(2);
    node.kill();
    receiver.got.length = 0;
    receiver.answer = taken;
    node.restart();
    await none();
    expect(receiver.seen.filter((one) => one.startsWith("a"))).toEqual(["a/1", "a/2", "a/3"]);
    expect(receiver.seen.filter((one) => one.startsWith("b"))).toEqual(["b/4", "b/5"]);
    for (const { body, headers } of receiver.got)
      expect(headers["x-berth-signature"]).toBe(
        `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
      );
  });

  it("after the receiver had one, and before that was noted, sends it again and goes on behind it", async () => {
    receiver.answer = (response, got) => {
      if (got.message.sequence === 2) node.kill();
      taken(response, got);
    };
    await node.tell("a", urlOf(receiver));
    await none();
    // Its row is on the disk before it is sent.
    await node.tell("a", urlOf(receiver));
    await sent(2);
    receiver.answer = taken;
    node.restart();
    await node.tell("a", urlOf(receiver));
    await none();
    expect(receiver.seen).toEqual(["a/1", "a/2", "a/2", "a/3"]);
  });

  it("again and again gives each message the hour that it is tried for, and at least one try", async () => {
    receiver.answer = status(500);
    await node.tell("a", urlOf(receiver), { count: 2 });
    await asleep();
    for (let times = 0; times < 3; times++) {
      node.kill();
      node.clock.now += 3 * HOUR;
      node.restart();
      await asleep();
      expect(node.dropped).toEqual([]);
      expect(node.kept).toEqual(["a/1", "a/2"]);
    }
    expect(receiver.seen).toEqual(Array(4).fill("a/1"));
  });

  it("at any moment of many messages loses none and brings none before an earlier one", async () => {
    const containers = ["a", "b", "c"];
    receiver.answer = (response, got) => (receiver.got.length % 4 === 0 ? status(500) : taken)(response, got);
    for (let round = 0; round < 12; round++) {
      for (const container of containers) await node.tell(container, urlOf(receiver), { count: 2 });
      for (let turns = 0; turns < round; turns++) await nextTurn();
      node.kill();
      node.restart();
    }
    await until("none is left", 30_000, () => {
      node.clock.passToNext();
      return node.callbacks.size === 0 && node.kept.length === 0;
    });
    for (const container of containers) {
      const sequences = receiver.got.flatMap(({ message }) =>
        message.containerId === container ? [message.sequence] : [],
      );
      expect(new Set(sequences).size).toBe(24);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    }
    expect(node.dropped).toEqual([]);
  });
});

describe("too many messages", () => {
  it("of one container: the oldest give way, each with an event, and the newest arrive", async () => {
    receiver.answer = status(500);
    await node.tell("a", urlOf(receiver));
    await asleep();
    await node.tell("a", urlOf(receiver), { count: 39 });
    await until("as many as may wait", 20_000, () => node.kept.length === 32);
    expect(node.dropped.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(node.dropped[0]?.message).toContain("too many waited");
    receiver.answer = taken;
    node.clock.passToNext();
    await none();
    expect(receiver.seen.slice(1)).toEqual(Array.from({ length: 32 }, (_, n) => `a/${n + 9}`));
  });

  it("of one owner go at its own expense", async () => {
    node.kill();
    node.options = { limits: { all: 10 } };
    node.restart();
    receiver.answer = status(500);
    await node.tell("b", urlOf(receiver), { owner: "bob", count: 2 });
    for (let n = 0; n < 12; n++) await node.tell(`a${n}`, urlOf(receiver));
    await until("as many as may wait", 20_000, () => node.kept.length === 10);
    expect(node.dropped.map(({ container }) => container)).toEqual(["a0", "a1", "a2", "a3"]);
    expect(node.kept.slice(0, 2)).toEqual(["b/1", "b/2"]);
  });

  it("of words are cut", async () => {
    await node.tell("a", urlOf(receiver), { message: "x".repeat(100_000) });
    await none();
    expect(receiver.got[0]?.body.length).toBeLessThan(2000);
    expect(receiver.got[0]?.message.message).toMatch(/^x{1000}…$/);
  });
});

describe("secrets", () => {
  it("stand in no line of the log and in no event: not the shared one, and not the path of the URL", async () => {
    receiver.answer = status(500);
    await node.tell("a", urlOf(receiver), { count: 40 });
    await asleep();
    await until("some are given up", 20_000, () => node.dropped.length >= 7);
    expect(node.logged.length).toBeGreaterThan(0);
    const told = JSON.stringify([node.logged, node.events]);
    expect(told).toContain(`127.0.0.1:${receiver.port}`);
    for (const secret of [SECRET, "hidden", "7f3a"]) expect(told).not.toContain(secret);
  });
});
