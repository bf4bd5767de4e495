/**
 * Following the GPUs, with a driver, a kernel log and a clock that the test turns.
 * Proves: only changes are told, and when the next reading is; that a driver which cannot be believed closes the node for
 * new grants and opens it again by itself. What takes one GPU out of use: inventory-quarantine.test.ts. What outlives a
 * restart: inventory-restart.test.ts.
 */
import { describe, expect, it } from "vitest";
import { InventoryError } from "../../../../agent/src/inventory";
import type { Inventory } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { H100 } from "./cases";
import { machine, node, reading, uuidAt, without, xid } from "./watch-helpers";

describe("the watch", () => {
  it("tells what it found at first, then only changes; figures are no change", async () => {
    const { watch, changes, driver, clock } = machine(node());
    expect(watch.state.closed).toBe("the GPUs have not been read yet");
    const state = await watch.start();
    expect(state).toMatchObject({ inventory: node(), readAt: clock.time, warnings: [] });
    expect(state.closed).toBeUndefined();
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatchObject({ quarantined: [], restored: [], vanished: [] });
    driver.use = 50;
    await watch.refresh();
    expect(changes).toHaveLength(1);
    expect(watch.state.readings[0]?.utilisation).toBe(50);
    // Re-sliced: one instance less.
    const sliced = node([
      { ...H100, count: 2 },
      { ...H100, mig: ["3g.40gb"] },
    ]);
    driver.shows = sliced;
    await watch.refresh();
    expect(changes).toHaveLength(2);
    const gone = node().gpus[2]?.instances.filter(
      ({ uuid }) => !sliced.gpus[2]?.instances.some((i) => i.uuid === uuid),
    );
    expect(changes[1]?.vanished).toEqual(gone?.map(({ uuid }) => uuid));
    expect(changes[1]?.vanished).toHaveLength(1);
    expect(changes[1]?.quarantined).toEqual([]);
  });

  it("reads every 15 s, every 2 s for a minute after a change, and not once it is stopped", async () => {
    const { watch, driver, clock, changes } = machine(node());
    const settled = () => until("one timer is set", 30_000, () => clock.timers.size === 1);
    await watch.start();
    expect(clock.next).toBe(15_000);
    driver.shows = without(node(), uuidAt(node(), 0));
    clock.pass(15_000);
    await settled();
    expect(changes).toHaveLength(2);
    expect(clock.next).toBe(2000);
    clock.pass(60_000);
    await settled();
    expect(clock.next).toBe(15_000);
    watch.stop();
    expect(clock.timers.size).toBe(0);
    await watch.refresh();
    expect(clock.timers.size).toBe(0);
    expect(changes).toHaveLength(2);
  });

  it("shares a reading between calls that overlap", async () => {
    let reads = 0;
    const { watch } = machine(node(), {
      read: async () => {
        reads++;
        return {
          inventory: node(),
          readings: node().gpus.map((gpu) => reading(gpu, { faults: {}, use: 0 })),
          lost: [],
          warnings: [],
        };
      },
    });
    await Promise.all([watch.start(), watch.refresh(), watch.refresh()]);
    expect(reads).toBe(1);
  });

  it("goes on when a listener throws, and says so", async () => {
    const boom = new Error("boom");
    const { watch, errors, clock } = machine(node(), {
      onChange: () => {
        throw boom;
      },
    });
    await watch.start();
    expect(errors).toEqual([boom]);
    expect(clock.next).toBe(15_000);
  });
});

describe("a driver that cannot be believed", () => {
  it.each(["hang", "exit", "garbage", "missing"] as const)(
    "(%s) closes the node; the next good reading opens it",
    async (code) => {
      const { watch, driver, changes, clock } = machine(node());
      await watch.start();
      const { readAt } = watch.state;
      clock.time += 5000;
      driver.shows = new InventoryError(code, "nvidia-smi -q -x did not end", "nvidia-smi -q -x");
      await watch.refresh();
      expect(watch.state).toMatchObject({
        inventory: node(),
        readAt,
        closed: `nvidia-smi cannot be believed (${code}): nvidia-smi -q -x did not end`,
      });
      expect(changes).toHaveLength(2);
      expect(clock.next).toBe(2000);
      await watch.refresh();
      expect(changes).toHaveLength(2);
      expect(watch.unquarantine(uuidAt(node(), 0)).ok).toBe(false);
      driver.shows = node();
      await watch.refresh();
      expect(watch.state.closed).toBeUndefined();
      expect(changes).toHaveLength(3);
      expect(changes[2]?.quarantined).toEqual([]);
    },
  );

  it("does not put a GPU back while its state is not known", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    watch.quarantine(uuidAt(node(), 0), "x");
    driver.shows = new InventoryError("hang", "h", "w");
    await watch.refresh();
    expect(watch.unquarantine(uuidAt(node(), 0))).toEqual({
      ok: false,
      reason: expect.stringContaining("not known"),
    });
  });

  it("is no trouble on a machine that never had a GPU", async () => {
    const { watch, driver } = machine(node());
    driver.shows = new InventoryError("missing", "nvidia-smi is not installed", "nvidia-smi");
    const state = await watch.start();
    expect(state.inventory).toEqual({ source: "none", gpus: [] });
    expect(state.closed).toBeUndefined();
  });

  it("closes at the first reading, and for an error of another kind, loudly", async () => {
    const { watch, driver, errors } = machine(node());
    driver.shows = new TypeError("bug");
    expect((await watch.start()).closed).toBe("the GPUs cannot be read: bug");
    expect(errors).toEqual([driver.shows]);
  });

  it("closes when all GPUs are away at once, and takes them for gone after a minute", async () => {
    const { watch, driver, clock, changes } = machine(node());
    await watch.start();
    const empty: Inventory = { source: "declared", gpus: [] };
    driver.shows = empty;
    await watch.refresh();
    expect(watch.state).toMatchObject({
      inventory: node(),
      closed: expect.stringContaining("no GPU at all"),
    });
    clock.time += 30_000;
    driver.shows = node();
    await watch.refresh();
    expect(watch.state.closed).toBeUndefined();
    expect(watch.state.inventory).toEqual(node());
    driver.shows = empty;
    await watch.refresh();
    clock.time += 59_999;
    await watch.refresh();
    expect(changes.flatMap(({ quarantined }) => quarantined)).toEqual([]);
    clock.time += 1;
    await watch.refresh();
    expect(watch.state.closed).toBeUndefined();
    expect(changes.at(-1)?.quarantined.map(({ uuid }) => uuid)).toEqual(node().gpus.map(({ uuid }) => uuid));
  });

  it("does not keep a fatal Xid from being seen, and a kernel log that fails closes nothing", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    driver.shows = new InventoryError("hang", "h", "w");
    driver.kernel.push({ text: xid(2, 79) });
    await watch.refresh();
    expect(watch.state.inventory.gpus[2]?.quarantined).toContain("Xid 79");
    const deaf = machine(node(), {
      kernelLog: {
        read: async () => {
          throw new Error("no journal");
        },
      },
    });
    const state = await deaf.watch.start();
    expect(state.closed).toBeUndefined();
    expect(state.warnings).toEqual([
      "the kernel log cannot be read, so a fatal Xid may be missed: no journal",
    ]);
  });
});
