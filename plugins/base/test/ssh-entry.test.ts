/** What one pooled connection makes of a server that refuses one more session: how many it opens at once from then on. */
import { describe, expect, it } from "vitest";
import { PoolEntry } from "../src/ssh-entry";

/** A connection with so many sessions open, and how one more slot is taken and refused. */
async function openSessions(count: number) {
  const entry = new PoolEntry(
    { host: "server", port: 22, user: "root" },
    { idleMs: 1000, maxChannels: 10, onGone: () => {} },
  );
  const { signal } = new AbortController();
  const slots = await Promise.all(Array.from({ length: count }, () => entry.slot(signal)));
  for (const slot of slots) slot.open();
  return {
    slots,
    refuseOne: async (waited: boolean) => {
      const { free } = await entry.slot(signal);
      const why = entry.refused(waited);
      free();
      return why;
    },
    /** True when a slot is to be had now. */
    hasRoom: async () => {
      const now = AbortSignal.timeout(20);
      return entry.slot(now).then(
        ({ free }) => {
          free();
          return true;
        },
        () => false,
      );
    },
  };
}

describe("a server that refuses one more session", () => {
  it("allows what is open, and the next one waits for one to end", async () => {
    const { slots, refuseOne, hasRoom } = await openSessions(3);
    expect(await refuseOne(false)).toBe("full");
    expect(await hasRoom()).toBe(false);
    slots[0]?.free();
    expect(await hasRoom()).toBe(true);
  });

  it("is asked again where it had more open before: it may count one that has ended", async () => {
    const { slots, refuseOne, hasRoom } = await openSessions(3);
    slots[0]?.free();
    expect(await refuseOne(false)).toBe("counted");
    expect(await hasRoom()).toBe(true);
  });

  it("that goes on refusing is taken at its word: the next one waits beside those that are open, and does not fail", async () => {
    const { slots, refuseOne, hasRoom } = await openSessions(3);
    slots[0]?.free();
    expect(await refuseOne(true)).toBe("full");
    expect(await hasRoom()).toBe(false);
    slots[1]?.free();
    expect(await hasRoom()).toBe(true);
  });

  it.each([
    ["allows none where it never had one open", 0, false],
    ["allows none any more where nothing is open, and it was asked for long enough", 1, true],
  ] as const)("%s", async (_, before, waited) => {
    const { slots, refuseOne } = await openSessions(before);
    for (const slot of slots) slot.free();
    expect(await refuseOne(waited)).toBe("never");
  });
});
