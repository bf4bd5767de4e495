/**
 * The stream of events over its interruptions, with an engine and a clock of the test's. Proves: a stream that ends as
 * soon as it is opened is opened again after longer and longer waits, and one that lasted soon; what was missed is told
 * once, as a doubt, and the stream goes on.
 */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Following } from "../../../../agent/src/containers/following";
import type { Engine, EngineEvent } from "../../../../agent/src/docker";
import { pause } from "../../../../agent/src/waiting";

const START = 1_700_000_000_000;
type Stream = (signal: AbortSignal) => AsyncGenerator<EngineEvent | undefined>;
let following: Following;
let opened: { at: number; since: string }[];
let told: string[];

beforeEach(() => vi.useFakeTimers({ now: START }));
afterEach(async () => {
  await following.close();
  vi.useRealTimers();
});

const event = (at: string): EngineEvent => ({
  type: "container",
  action: "start",
  id: at,
  attributes: {},
  at,
});
async function* ends() {}
/** Lasts so long, without an event. */
const lasts = (ms: number) =>
  async function* (signal: AbortSignal) {
    await pause(ms, signal);
    yield* [];
  };

/** The n-th stream is the n-th of these, and the last one from then on. */
function follow(...streams: Stream[]): void {
  opened = [];
  told = [];
  const engine = {
    events: async (since: string, signal: AbortSignal) => {
      const stream = streams[Math.min(opened.length, streams.length - 1)] as Stream;
      opened.push({ at: Date.now() - START, since });
      return stream(signal);
    },
    info: async () => ({}),
    forget: () => told.push("forget"),
  } as unknown as Engine;
  following = new Following({
    engine,
    log: { info: () => {}, warn: () => {}, error: () => {} } as never,
    react: ({ id }) => told.push(id),
    compare: async () => {},
    look: async () => {},
    lookedAt: () => Number.POSITIVE_INFINITY,
    unsure: () => told.push("unsure"),
  });
  following.start();
}
const waits = () => opened.map(({ at }, n) => at - (opened[n - 1]?.at ?? 0)).slice(1);

it("is opened again after longer and longer waits where it ends at once", async () => {
  follow(ends);
  await vi.advanceTimersByTimeAsync(16_000);
  expect(waits()).toEqual([250, 500, 1000, 2000, 4000, 4000, 4000]);
});

it("is opened again soon where it lasted", async () => {
  follow(ends, ends, ends, lasts(60_000), ends);
  await vi.advanceTimersByTimeAsync(63_000);
  expect(waits()).toEqual([250, 500, 1000, 60_250, 500]);
});

it("goes on after an event that cannot be read: what it knew is forgotten, and one look follows", async () => {
  async function* stream() {
    yield event("1700000000.000000001");
    yield undefined;
    yield event("1700000000.000000002");
  }
  follow(stream, lasts(60_000));
  await vi.advanceTimersByTimeAsync(0);
  const opening = told.splice(0, 1);
  expect([opening, told.slice(0, 4)]).toEqual([
    ["unsure"],
    ["1700000000.000000001", "forget", "unsure", "1700000000.000000002"],
  ]);
  await vi.advanceTimersByTimeAsync(250);
  expect(opened.map(({ since }) => since)).toEqual(["1700000000.000000000", "1700000000.000000002"]);
});
