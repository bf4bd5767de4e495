/**
 * Callbacks whose end is written late, or not, over real HTTP and a real database. Proves: until it is on the disk that
 * one was given up, none behind it is sent, so that a later berthd sends none out of order; what keeps it from being
 * written, be it a refusal or an error, ends nothing for good.
 */
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../../lib/until";
import { callbacksForEachTest, node, receiver, status, taken, urlOf } from "./callback-rig";

callbacksForEachTest();

/** Lets what is held back be written. */
let release = () => {};
// Before the end of the node, which waits for it.
afterEach(() => release());

const url = () => urlOf(receiver);
const none = () =>
  until("none is left", 20_000, () => {
    node.clock.passToNext();
    return node.callbacks.size === 0 && node.kept.length === 0;
  });
const seenOf = (container: string) => receiver.seen.filter((one) => one.startsWith(`${container}/`));
function limited(limits: object): void {
  node.kill();
  node.options = { limits };
  node.restart();
}
/** Holds back what is to be written, until `release` is called. */
function hold(): void {
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  node.beforeNote = () => gate;
  release = () => {
    node.beforeNote = async () => {};
    go();
  };
}

/** Two of a, and one of another owner's, that are to be tried again. */
async function waiting(limits: object): Promise<void> {
  limited(limits);
  receiver.answer = status(500);
  await node.tell("a", url(), { count: 2 });
  await node.tell("z", url(), { owner: "zoe" });
  await until("both wait", 20_000, () => node.clock.asleep === 2);
}
/** They are tried again: when zoe's has come, alice's would have come as well. */
async function triedAgain(): Promise<void> {
  receiver.answer = taken;
  node.clock.passToNext();
  await until("zoe's", 20_000, () => seenOf("z").length === 2);
}

describe("a message that is given up for others", () => {
  const cases: [string, object, string][] = [
    ["of the same container", { container: 2 }, "a"],
    ["of another one", { all: 3 }, "b"],
  ];

  it.each(cases)("%s is noted as gone before a later one is sent", async (_, limits, container) => {
    await waiting(limits);
    hold();
    await node.tell(container, url());
    await triedAgain();
    expect(seenOf("a")).toEqual(["a/1"]);
    release();
    await none();
    expect(seenOf("a").slice(1)).toEqual(container === "a" ? ["a/2", "a/4"] : ["a/2"]);
    expect(node.dropped.map(({ sequence }) => sequence)).toEqual([1]);
  });

  it("and is not noted before berthd is killed, comes before the later ones", async () => {
    await waiting({ container: 2 });
    hold();
    await node.tell("a", url());
    await triedAgain();
    node.kill();
    node.beforeNote = async () => {};
    node.options = {};
    node.restart();
    await none();
    expect(seenOf("a")).toEqual(["a/1", "a/1", "a/2", "a/4"]);
  });
});

describe("a note that fails with an error", () => {
  it("is tried again, and the next message waits for it", async () => {
    let tries = 0;
    node.beforeNote = async () => {
      if (++tries < 3) throw new Error("out of order");
    };
    await node.tell("a", url(), { count: 2 });
    for (const wait of [1, 2]) {
      await until("it waits", 20_000, () => node.clock.waits.length === wait && node.clock.asleep > 0);
      expect([seenOf("a"), node.kept]).toEqual([["a/1"], ["a/1", "a/2"]]);
      node.clock.passToNext();
    }
    await none();
    expect(seenOf("a")).toEqual(["a/1", "a/2"]);
    expect(node.logged.map(({ data }) => data)).toMatchObject(Array(2).fill({ reason: "out of order" }));
  });

  it("which the log cannot take either, ends nothing of that container for good", async () => {
    const log = { warn: () => {}, error: () => {} };
    node.kill();
    node.options = { log };
    node.restart();
    let thrown = 0;
    log.warn = () => {
      thrown++;
      throw new Error("no room for the log");
    };
    node.full = { code: "closed", message: "The ledger could not be written." };
    await node.tell("a", url(), { count: 2 });
    await until("it is not noted", 20_000, () => thrown > 0);
    expect(receiver.seen).toEqual(["a/1"]);
    node.full = undefined;
    log.warn = () => {};
    await until("the next is sent", 20_000, async () => {
      await node.tell("a", url());
      return receiver.got.length > 1;
    });
    expect(receiver.seen[1]).toBe("a/2");
  });
});
