/**
 * Who waits for whom. Proves: so many at a time have a place, in the order of their asks; who leaves or fails keeps none; what
 * one key takes is nobody else's, and nothing is left of it.
 */
import { describe, expect, it } from "vitest";
import { Places, PlacesOfEach } from "../../../agent/src/places";

describe("places", () => {
  const never = new AbortController().signal;

  it("are given in the order of the asks, so many at a time", async () => {
    const places = new Places(2, 10);
    const order: number[] = [];
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, async (_, at) => {
        const giveBack = await places.take(never);
        order.push(at);
        most = Math.max(most, places.inUse);
        await new Promise((resolve) => setImmediate(resolve));
        giveBack?.();
        giveBack?.();
      }),
    );
    expect([order, most, places.inUse]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], 2, 0]);
  });

  it("are refused where too many wait", async () => {
    const places = new Places(1, 1);
    const giveBack = await places.take(never);
    const second = places.take(never);
    expect(await places.take(never)).toBeUndefined();
    giveBack?.();
    expect(await second).toBeTypeOf("function");
  });

  it("are not kept for somebody who has left", async () => {
    const places = new Places(1, 10);
    const giveBack = await places.take(never);
    const leaving = new AbortController();
    const left = places.take(leaving.signal);
    const after = places.take(never);
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    giveBack?.();
    (await after)?.();
    expect(places.inUse).toBe(0);
    await expect(places.take(leaving.signal)).rejects.toThrow("gone");
    expect(places.inUse).toBe(0);
  });
});

describe("places of each", () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it("are so many for one, in order, and another's are given at once", async () => {
    const each = new PlacesOfEach(2, Number.POSITIVE_INFINITY);
    const begun: string[] = [];
    const ends: Record<string, () => void> = {};
    const take = async (name: string) => {
      const giveBack = await each.take(name.slice(0, 1));
      begun.push(name);
      ends[name] = () => giveBack?.();
    };
    for (const name of ["a1", "a2", "a3", "a4", "b1"]) void take(name);
    await settled();
    expect(begun).toEqual(["a1", "a2", "b1"]);
    ends.a2?.();
    ends.a2?.();
    await settled();
    expect(begun).toEqual(["a1", "a2", "b1", "a3"]);
    for (const name of ["a1", "a3", "b1"]) ends[name]?.();
    await settled();
    expect([begun.at(-1), each.isInUse("a"), each.isInUse("b")]).toEqual(["a4", true, false]);
    ends.a4?.();
    expect(each.isInUse("a")).toBe(false);
    for (const name of ["a5", "a6", "a7"]) void take(name);
    await settled();
    expect(begun.slice(-2)).toEqual(["a5", "a6"]);
  });

  it("are refused to one of whom too many wait, and not kept for who has left", async () => {
    const each = new PlacesOfEach(1, 1);
    const giveBack = await each.take("a");
    const leaving = new AbortController();
    const left = each.take("a", leaving.signal);
    expect(await each.take("a")).toBeUndefined();
    expect(await each.take("b")).toBeTypeOf("function");
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    giveBack?.();
    await expect(each.take("a", leaving.signal)).rejects.toThrow("gone");
    expect(each.isInUse("a")).toBe(false);
  });

  it("are also so many of all, and who has as many as one may is passed over", async () => {
    const each = new PlacesOfEach(2, Number.POSITIVE_INFINITY, 3);
    const order: string[] = [];
    const [a1, , , b1] = ["a1", "a2", "a3", "b1", "b2", "c1"].map(async (name) => {
      const giveBack = await each.take(name.slice(0, 1));
      order.push(name);
      return giveBack;
    });
    await settled();
    expect([order, each.inUse]).toEqual([["a1", "a2", "b1"], 3]);
    (await b1)?.();
    await settled();
    expect(order.slice(3)).toEqual(["b2"]);
    (await a1)?.();
    await settled();
    expect([order.slice(4), each.inUse]).toEqual([["a3"], 3]);
  });

  it("of all are not waited for by who has left", async () => {
    const each = new PlacesOfEach(1, 1, 1);
    const giveBack = await each.take("a");
    const leaving = new AbortController();
    const left = each.take("b", leaving.signal);
    const stays = each.take("c");
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    giveBack?.();
    expect(await stays).toBeTypeOf("function");
    expect([each.inUse, each.isInUse("b")]).toEqual([1, false]);
  });
});
