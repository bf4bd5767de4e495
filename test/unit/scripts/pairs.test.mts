import { describe, expect, it } from "vitest";
import { comparePairs, readFigures } from "../../../scripts/lib/pairs.mjs";

const time = (value: number) => ({ name: "time", value, higher: false });
const rate = (value: number) => ({ name: "rate", value, higher: true });

describe("figures of a measurement", () => {
  it("are read from its lines of JSON, whatever stands between them", () => {
    const stdout = [
      "==== ledger.bench.mjs",
      '{"name":"noop-up","ratio":2.9,"bound":3}',
      '{"name":"rate","value":12,"bound":10,"least":true}',
      '{"name":"histories","held":true}',
      "",
    ].join("\n");
    expect(readFigures(stdout)).toEqual([
      { name: "noop-up", value: 2.9, higher: false },
      { name: "rate", value: 12, higher: true },
    ]);
  });
});

describe("two checkouts in turn", () => {
  it("are compared pair by pair: a slow minute that hits both sides of a pair changes nothing", () => {
    const pairs = [1, 3, 1].map((slow) => ({ ours: [time(slow)], theirs: [time(slow)] }));
    expect(comparePairs(pairs)).toMatchObject([{ name: "time", change: 0, least: 0, most: 0, worse: false }]);
  });

  it("tell the median, so that one pair decides nothing", () => {
    const pairs = [1.01, 9, 1.02].map((ours) => ({ ours: [time(ours)], theirs: [time(1)] }));
    const [found] = comparePairs(pairs);
    expect(found).toMatchObject({ ours: 1.02, theirs: 1, worse: false });
    expect(found?.change).toBeCloseTo(0.02);
    expect(found?.most).toBeCloseTo(8);
  });

  it.each([
    { figure: time, ours: 1.06, worse: true },
    { figure: time, ours: 1.04, worse: false },
    { figure: time, ours: 0.5, worse: false },
    { figure: rate, ours: 0.94, worse: true },
    { figure: rate, ours: 0.96, worse: false },
    { figure: rate, ours: 2, worse: false },
  ])("are worse by more than 5 % in the figure's own direction: $ours", ({ figure, ours, worse }) => {
    expect(comparePairs([{ ours: [figure(ours)], theirs: [figure(1)] }])).toMatchObject([{ worse }]);
  });

  it("leave out what one side does not measure", () => {
    expect(comparePairs([{ ours: [time(1), rate(1)], theirs: [rate(2)] }])).toMatchObject([{ name: "rate" }]);
    expect(comparePairs([])).toEqual([]);
  });
});
