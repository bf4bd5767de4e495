/** What is counted by the minute. Proves: each key has a count of its own, and however many keys there are, few are in memory. */
import { describe, expect, it } from "vitest";
import { Rate } from "../../../agent/src/rate";

describe("what is counted by the minute", () => {
  it("is so much of each key; the next minute begins with the first one after it", () => {
    let time = 0;
    const rate = new Rate(() => time);
    const take = (key: string) => rate.take(key, 2);
    expect([take("a"), take("a"), take("a"), take("b")]).toEqual([0, 0, 60, 0]);
    time = 59_500;
    expect([take("a"), take("b"), take("b")]).toEqual([1, 0, 1]);
    time = 60_000;
    expect([take("a"), take("a"), take("a")]).toEqual([0, 0, 60]);
    expect(rate.take("c", Infinity)).toBe(0);
  });

  it("counts some as several", () => {
    let time = 0;
    const rate = new Rate(() => time, 10_000);
    expect([rate.take("a", 5, 4), rate.take("a", 5, 4), rate.take("a", 5)]).toEqual([0, 0, 10]);
    time = 10_000;
    expect([rate.take("a", 5, 9), rate.take("a", 5)]).toEqual([0, 10]);
  });

  it("forgets the oldest keys of very many", () => {
    const rate = new Rate(() => 0);
    for (let n = 0; n < 10_000; n++) rate.take(`${n}`, 1);
    expect(rate.take("0", 1)).toBe(60);
    rate.take("new", 1);
    expect(rate.take("1", 1)).toBe(60);
    expect(rate.take("0", 1)).toBe(0);
  });
});
