/** The queue after somebody left it, and with somebody in it whose own limits say no. */
import { describe, expect, it } from "vitest";
import type { Gpu, Inventory } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { closeRigs, container, got, refused, rigged, wish } from "./cases";
import { inventoryOf } from "./rig";

closeRigs();

/** GPUs that are not divided. */
const wholes = (count: number): Inventory => ({
  source: "declared",
  gpus: inventoryOf(count, 0).gpus.map((gpu): Gpu => ({ ...gpu, mig: false })),
});
const gpus = (user: string, count: number, more: object = {}) =>
  wish(user, { ask: { kind: "gpu" as const, count }, waitSeconds: 600, ...more });

describe("who waits behind one whose patience is over", () => {
  /** Two GPUs, one held: alice waits for both and has for long, so that bob does not get the one that is free. */
  async function kept(leave: { signal?: AbortSignal; seconds?: number } = {}) {
    let now = Date.now();
    const rig = await rigged({ inventory: wholes(2), options: { now: () => now, tickEvery: 3_600_000 } });
    const { ledger } = rig;
    const held = got(await ledger.reserve(gpus("carol", 1, { waitSeconds: 0 })));
    got(await ledger.bind({ id: held.id, token: held.token, container: "c1" }));
    const alice = ledger.reserve(gpus("alice", 2, { waitSeconds: leave.seconds ?? 3000 }), leave.signal);
    await until("alice waits", 30_000, () => ledger.queueLength() === 1);
    now += 601_000;
    const bob = ledger.reserve(gpus("bob", 1));
    await until("bob waits", 30_000, () => ledger.queueLength() === 2);
    expect(ledger.queue()[1]).toMatchObject({ user: "bob", reason: { code: "busy" } });
    return { ...rig, alice, bob };
  }

  it("is granted when that one goes away", async () => {
    const gone = new AbortController();
    const { alice, bob } = await kept({ signal: gone.signal });
    gone.abort();
    expect(refused(await alice).code).toBe("conflict");
    expect(got(await bob).user).toBe("bob");
  });

  it("is granted when that one is withdrawn", async () => {
    const { ledger, alice, bob } = await kept();
    got(ledger.cancel(ledger.queue()[0]?.id ?? ""));
    expect(refused(await alice).code).toBe("conflict");
    expect(got(await bob).user).toBe("bob");
  });

  it("is granted when that one gives up at its deadline", async () => {
    const { alice, bob } = await kept({ seconds: 1 });
    expect(refused(await alice).code).toBe("busy");
    expect(got(await bob).user).toBe("bob");
  });
});

describe("one that waits and is at its own container limit", () => {
  /** Alice has two containers, as Docker says, one of them with a GPU; nothing is free, and she waits for another. */
  async function waits() {
    const rig = await rigged({ inventory: wholes(2) });
    const { ledger, containers } = rig;
    const mine = got(await ledger.reserve(gpus("alice", 1, { containers: 1, waitSeconds: 0 })));
    got(await ledger.bind({ id: mine.id, token: mine.token, container: "c1" }));
    containers.seen = [container(mine)];
    const held = got(await ledger.reserve(gpus("carol", 1, { waitSeconds: 0 })));
    const alice = ledger.reserve(gpus("alice", 1, { containers: 2 }));
    await until("alice waits", 30_000, () => ledger.queueLength() === 1);
    return { ...rig, mine, held, alice };
  }

  it("holds nobody back, and is told why it waits", async () => {
    const { ledger, limits, held } = await waits();
    limits.mostContainers.set("alice", 2);
    got(await ledger.release(held.id));
    expect(ledger.queue()).toMatchObject([
      { user: "alice", reason: { message: expect.stringContaining("2 of 2 containers") } },
    ]);
    expect(got(await ledger.reserve(gpus("bob", 1, { waitSeconds: 0 }))).user).toBe("bob");
  });

  it("is granted when one of its containers is gone", async () => {
    const { ledger, limits, mine, held, alice, containers } = await waits();
    limits.mostContainers.set("alice", 2);
    got(await ledger.release(held.id));
    expect(ledger.queueLength()).toBe(1);
    containers.remove("c1");
    expect(got(await alice).user).toBe("alice");
    expect(ledger.grant(mine.id)?.state).toBe("released");
  });
});
