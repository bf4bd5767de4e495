/**
 * How large a pool is at a time. Proves: entries hold by the clock on the wall of their time zone, also over midnight and when
 * summer time begins and ends; the first that holds decides; a pool is looked at again whenever its size may be another.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planPool, sizeAt, type Template, templateSchema } from "../../../../core/manager";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

const template = (more: object = {}): Template =>
  templateSchema.parse({ name: "web", image: "node:24-slim", ...more });
const nextLook = (one: Template, now: number) =>
  planPool({ template: one, hash: "h", containers: [], creating: 0, now }).nextLook;
const target = (one: Template, when: string | number) => sizeAt(one, new Date(when).getTime()).target;

/** The times at which a pool is 9 large, in steps of a minute: `[first, first after]` in UTC. */
function spans(one: Template, from: string, hours: number): string[][] {
  const start = new Date(from).getTime();
  const minutes = Array.from({ length: hours * 60 }, (_, i) => start + i * MINUTE);
  const large = minutes.filter((now) => target(one, now) === 9);
  const begins = large.filter((now) => !large.includes(now - MINUTE));
  const ends = large.map((now) => now + MINUTE).filter((now) => !large.includes(now));
  return begins.map((begin, i) => [short(begin), short(ends[i] ?? 0)]);
}
const short = (now: number) => new Date(now).toISOString().slice(0, 16);

describe("the size of a pool", () => {
  it("is the template's own without a schedule, at any time", () => {
    for (const when of ["2026-01-01T00:00Z", "2026-07-01T12:34Z", 0]) {
      expect(sizeAt(template({ targetSize: 4, minSize: 2 }), new Date(when).getTime())).toEqual({
        target: 4,
        min: 2,
      });
    }
  });

  it("has no minimum above its target", () => {
    const one = template({
      targetSize: 4,
      minSize: 3,
      schedule: [{ from: "00:00", to: "06:00", targetSize: 0 }],
    });
    expect(sizeAt(one, Date.parse("2026-05-04T03:00Z"))).toEqual({ target: 0, min: 0 });
    expect(sizeAt(one, Date.parse("2026-05-04T07:00Z"))).toEqual({ target: 4, min: 3 });
    expect(sizeAt(template({ targetSize: 0 }), 0)).toEqual({ target: 0, min: 0 });
  });

  it("is that of the first entry that holds", () => {
    const one = template({
      schedule: [
        { days: ["mon"], from: "09:00", to: "10:00", targetSize: 20 },
        { from: "08:00", to: "18:00", targetSize: 10 },
        { from: "00:00", to: "24:00", targetSize: 1 },
      ],
    });
    // 2026-05-04 is a Monday.
    expect(target(one, "2026-05-04T09:30Z")).toBe(20);
    expect(target(one, "2026-05-05T09:30Z")).toBe(10);
    expect(target(one, "2026-05-05T18:00Z")).toBe(1);
    expect(target(one, "2026-05-04T08:59:59.999Z")).toBe(10);
    expect(target(one, "2026-05-04T10:00Z")).toBe(10);
  });
});

const nine = (more: object, rest: object = {}) =>
  template({ targetSize: 1, schedule: [{ targetSize: 9, ...more }], ...rest });

describe("an entry", () => {
  it("over midnight belongs to the day on which it begins", () => {
    const one = nine({ days: ["fri", "sun"], from: "22:00", to: "06:00" });
    expect(spans(one, "2026-05-05T00:00Z", 7 * 24)).toEqual([
      ["2026-05-08T22:00", "2026-05-09T06:00"],
      ["2026-05-10T22:00", "2026-05-11T06:00"],
    ]);
  });

  it("up to midnight ends with the day, however that is written", () => {
    for (const to of ["24:00", "00:00"]) {
      expect(spans(nine({ days: ["sun"], from: "20:00", to }), "2026-05-10T00:00Z", 48)).toEqual([
        ["2026-05-10T20:00", "2026-05-11T00:00"],
      ]);
    }
  });

  it.each([
    ["UTC", "2026-05-04T08:00", "2026-05-04T09:30"],
    ["Asia/Kolkata", "2026-05-04T02:30", "2026-05-04T04:00"],
    ["America/New_York", "2026-05-04T12:00", "2026-05-04T13:30"],
    // Already Monday in Sydney and on Kiritimati, where it is Sunday in UTC.
    ["Australia/Sydney", "2026-05-03T22:00", "2026-05-03T23:30"],
    ["Pacific/Kiritimati", "2026-05-03T18:00", "2026-05-03T19:30"],
    ["Pacific/Pago_Pago", "2026-05-04T19:00", "2026-05-04T20:30"],
  ])("holds by the clock and the weekday of %s", (timeZone, begin, end) => {
    const one = nine({ days: ["mon"], from: "08:00", to: "09:30" }, { timeZone });
    expect(spans(one, "2026-05-03T00:00Z", 4 * 24)).toEqual([[begin, end]]);
  });

  it.each([
    // Clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
    ["is skipped where summer time begins", "02:00", "03:00", "2026-03-28T12:00Z", []],
    [
      "begins late where its beginning is skipped",
      "02:30",
      "03:30",
      "2026-03-28T12:00Z",
      [["2026-03-29T01:00", "2026-03-29T01:30"]],
    ],
    [
      "keeps its hours after that",
      "08:00",
      "09:00",
      "2026-03-28T12:00Z",
      [["2026-03-29T06:00", "2026-03-29T07:00"]],
    ],
    // Clocks go from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
    [
      "holds twice where summer time ends",
      "02:00",
      "03:00",
      "2026-10-24T12:00Z",
      [["2026-10-25T00:00", "2026-10-25T02:00"]],
    ],
    [
      "holds in both halves",
      "02:15",
      "02:30",
      "2026-10-24T12:00Z",
      [
        ["2026-10-25T00:15", "2026-10-25T00:30"],
        ["2026-10-25T01:15", "2026-10-25T01:30"],
      ],
    ],
    [
      "is an hour longer over that night",
      "00:30",
      "06:00",
      "2026-10-24T12:00Z",
      [["2026-10-24T22:30", "2026-10-25T05:00"]],
    ],
  ])("%s", (_what, from, to, start, expected) => {
    const one = nine({ days: ["sun"], from, to }, { timeZone: "Europe/Berlin" });
    expect(spans(one, start, 36)).toEqual(expected);
  });
});

describe("a schedule", () => {
  const minute = fc.nat(24 * 60 - 1);
  const clock = (of: number) =>
    `${String(Math.floor(of / 60)).padStart(2, "0")}:${String(of % 60).padStart(2, "0")}`;
  const entry = fc
    .record({
      days: fc.subarray([...DAYS], { minLength: 1 }),
      from: minute,
      to: minute,
      targetSize: fc.nat(50),
    })
    .filter(({ from, to }) => from !== to);
  const some = fc.array(entry, { maxLength: 6 });
  const now = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2030, 0, 1) });

  it("is what its entries say, in zones with a fixed difference to UTC", () => {
    fc.assert(
      fc.property(some, now, fc.integer({ min: -12, max: 14 }), (entries, when, offset) => {
        // POSIX counts to the west: Etc/GMT-2 is two hours ahead.
        const timeZone = `Etc/GMT${offset > 0 ? "-" : "+"}${Math.abs(offset)}`;
        const one = template({
          timeZone,
          minSize: 0,
          schedule: entries.map((each) => ({ ...each, from: clock(each.from), to: clock(each.to) })),
        });
        const wall = new Date(when + offset * HOUR);
        const today = (wall.getUTCDay() + 6) % 7;
        const at = wall.getUTCHours() * 60 + wall.getUTCMinutes();
        const holding = entries.find(({ days, from, to }) =>
          [0, 1].some((ago) => {
            const since = at + ago * 24 * 60 - from;
            const length = to > from ? to - from : to - from + 24 * 60;
            return days.includes(DAYS[(today - ago + 7) % 7] as "mon") && since >= 0 && since < length;
          }),
        );
        expect(target(one, when)).toBe(holding?.targetSize ?? 3);
      }),
    );
  });

  it("keeps its size until the next look", () => {
    const zone = fc.constantFrom(
      "UTC",
      "Asia/Kathmandu",
      "Australia/Lord_Howe",
      "America/St_Johns",
      "Asia/Tehran",
    );
    fc.assert(
      fc.property(
        some,
        now,
        zone,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (entries, when, timeZone, part) => {
          const schedule = entries.map((each) => ({ ...each, from: clock(each.from), to: clock(each.to) }));
          const one = template({ timeZone, minSize: 0, schedule });
          const next = nextLook(one, when);
          if (entries.length === 0) expect(next).toBeUndefined();
          if (next === undefined) return;
          expect(next).toBeGreaterThan(when);
          expect(next).toBeLessThanOrEqual(when + MINUTE);
          expect(target(one, Math.floor(when + part * (next - 1 - when)))).toBe(target(one, when));
        },
      ),
    );
  });
});
