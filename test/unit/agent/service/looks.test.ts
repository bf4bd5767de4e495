/** What a look may say: nothing of GPUs that are not read yet, nor of a container that was bound after it began. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { WatchState } from "../../../../agent/src/inventory";
import { watchedInventory } from "../../../../agent/src/service/inventory";
import type { Grant, Inventory } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { closeRigs, container, got, one, refused, rigged, rigs, uuids, wish } from "./cases";
import { FakeContainers, Gpus, inventoryOf, makeRig, newFolder, type Rig } from "./rig";

closeRigs();

const noGpus: Inventory = { source: "none", gpus: [] };

/** GPUs of a node that starts again: `before` is remembered. */
function known(before: Inventory, more: { inventory?: Inventory; problem?: string } = {}): Gpus {
  const gpus = new Gpus({ inventory: before, readAt: Date.now(), ...more });
  gpus.before = before;
  return gpus;
}

/** A node that ended with a grant in a container that runs on. */
async function ended(inventory = inventoryOf(1)) {
  const folder = newFolder();
  const first = await makeRig({ folder, inventory });
  const grant = got(await first.ledger.reserve(wish("alice")));
  got(await first.ledger.bind({ id: grant.id, token: grant.token, container: "c1" }));
  await first.events();
  await first.crash();
  const containers = new FakeContainers();
  containers.seen = [container(grant)];
  return { folder, grant, containers };
}

const named = async (rig: Rig, event: string) => (await rig.events()).filter((line) => line.event === event);

describe("a restart", () => {
  it("with GPUs that are slow to read writes nobody down as lost", async () => {
    const { folder, grant, containers } = await ended();
    const gpus = known(noGpus, { inventory: inventoryOf(1) });
    let read = () => {};
    gpus.slow = new Promise((resolve) => {
      read = resolve;
    });
    const rig = await makeRig({ folder, containers, gpus, start: false });
    rigs.push(rig);
    const started = rig.ledger.start();
    containers.emit({ kind: "unsure" });
    for (let n = 0; n < 3; n++) await rig.ledger.emit({ event: "marker", message: "time for a look" });
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound" });
    expect(rig.ledger.grant(grant.id)?.reason).toBeUndefined();
    expect(refused(await rig.ledger.reserve(wish("bob"))).code).toBe("closed");
    expect(rig.ledger.closed()).toContain("GPUs have not been read");
    read();
    await started;
    expect(rig.ledger.closed()).toBeUndefined();
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound" });
    expect(await named(rig, "lost")).toEqual([]);
  });

  it("lets a reservation be used though the GPUs are not read again yet: they are remembered", async () => {
    const folder = newFolder();
    const first = await makeRig({ folder });
    const { id, token } = got(await first.ledger.reserve(wish("alice")));
    await first.crash();
    const rig = await makeRig({ folder, gpus: known(inventoryOf(1)), start: false });
    rigs.push(rig);
    expect(rig.ledger.inventory()).toEqual(inventoryOf(1));
    expect(got(await rig.ledger.bind({ id, token, container: "c1" })).state).toBe("bound");
  });

  it("with GPUs that cannot be read goes on with those that are remembered", async () => {
    const { folder, grant, containers } = await ended();
    const gpus = known(inventoryOf(1), { problem: "nvidia-smi hangs" });
    const rig = await rigged({ folder, containers, gpus });
    expect(rig.ledger.closed()).toContain("nvidia-smi hangs");
    expect(rig.ledger.grant(grant.id)?.reason).toBeUndefined();
    expect(await named(rig, "lost")).toEqual([]);
    expect(rig.ledger.inventory()).toEqual(inventoryOf(1));
  });

  it("with GPUs that cannot be read and are not remembered waits for them, and says so", async () => {
    const { folder, grant, containers } = await ended();
    const gpus = known(noGpus, { problem: "nvidia-smi hangs" });
    const rig = await rigged({ folder, containers, gpus });
    containers.emit({ kind: "unsure" });
    await rig.ledger.emit({ event: "marker", message: "time for a look" });
    expect(rig.ledger.closed()).toContain("nvidia-smi hangs");
    expect(rig.ledger.grant(grant.id)?.reason).toBeUndefined();
    gpus.change({ inventory: inventoryOf(1), problem: undefined });
    await until("open", 30_000, () => rig.ledger.closed() === undefined);
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound" });
    expect(await named(rig, "lost")).toEqual([]);
  });

  it("takes over what the first reading knows of, though it has a problem", async () => {
    const gpus = known(noGpus, { inventory: inventoryOf(1), problem: "nvidia-smi hangs" });
    const { ledger } = await rigged({ gpus });
    expect(ledger.inventory()).toEqual(inventoryOf(1));
  });

  it("with the ledger lost and GPUs that cannot be read adopts units by their names", async () => {
    const { folder, grant, containers } = await ended();
    writeFileSync(join(folder, "ledger.db"), "not a database");
    const gpus = known(inventoryOf(1), { problem: "nvidia-smi hangs" });
    const { ledger } = await rigged({ folder, containers, gpus });
    const [adopted] = ledger.grants() as [Grant];
    expect(adopted.units).toEqual(grant.units);
    expect(adopted.reason).toBeUndefined();
  });
});

describe("the watch of the GPUs, before its first look ended", () => {
  it("tells what is remembered, and no reading", async () => {
    let read = () => {};
    const state: WatchState = {
      inventory: inventoryOf(1),
      readings: [],
      warnings: [],
      closed: "not read yet",
    };
    const port = watchedInventory(() => ({
      state,
      quarantine: () => false,
      unquarantine: () => ({ ok: true }),
      refresh: async () => {},
      start: () =>
        new Promise((resolve) => {
          read = () => resolve(state);
        }),
      stop: () => {},
    }));
    const first = port.refresh();
    expect(port.current()).toBeUndefined();
    expect(port.remembered()).toEqual(inventoryOf(1));
    read();
    expect(await first).toMatchObject({ problem: "not read yet" });
    expect(port.current()).toMatchObject({ inventory: inventoryOf(1) });
  });
});

describe("a bind during a look", () => {
  it("is not undone by what the look saw before", async () => {
    const { ledger, containers } = await rigged({ inventory: inventoryOf(1, 1) });
    const grant = got(await ledger.reserve(wish("alice")));
    let bound: ReturnType<typeof ledger.bind> | undefined;
    containers.during = () => {
      containers.during = undefined;
      // Docker's event of its start was lost.
      containers.seen = [container(grant)];
      bound = ledger.bind({ id: grant.id, token: grant.token, container: "c1" });
    };
    containers.emit({ kind: "unsure" });
    await until("the look began", 30_000, () => bound !== undefined);
    expect(await bound).toMatchObject({ ok: true });
    for (let n = 0; n < 3; n++) await ledger.emit({ event: "marker", message: "after the look" });
    expect(ledger.grant(grant.id)?.state).toBe("bound");
    expect(refused(await ledger.reserve(wish("bob"))).code).toBe("busy");
    // The next look knows of it, and of its end.
    containers.seen = [];
    containers.emit({ kind: "unsure" });
    await until("released", 30_000, () => ledger.grant(grant.id)?.state === "released");
  });
});

describe("a container that is said to be gone during a look", () => {
  it("is not adopted again by what the look saw before", async () => {
    const { ledger, containers } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    containers.run(container(grant));
    await until("bound", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    let gone: ReturnType<typeof ledger.containerGone> | undefined;
    containers.during = () => {
      containers.during = undefined;
      containers.seen = [];
      gone = ledger.containerGone("c1");
    };
    containers.emit({ kind: "unsure" });
    await until("the look began", 30_000, () => gone !== undefined);
    await gone;
    for (let n = 0; n < 3; n++) await ledger.emit({ event: "marker", message: "after the look" });
    expect(ledger.grants()).toEqual([]);
  });
});

describe("a bind over the API before the container starts", () => {
  async function created() {
    const time = { now: Date.now() };
    const rig = await rigged({ options: { now: () => time.now } });
    const grant = got(await rig.ledger.reserve(wish("alice")));
    got(await rig.ledger.bind({ id: grant.id, token: grant.token, container: "c1" }, "token:ab12"));
    /** Two looks: the second began after whatever was before this. */
    const look = async () => {
      for (let n = 0; n < 2; n++) {
        let began = false;
        rig.containers.during = () => {
          rig.containers.during = undefined;
          began = true;
        };
        rig.containers.emit({ kind: "unsure" });
        await until("a look began", 30_000, () => began);
      }
      await rig.ledger.emit({ event: "marker", message: "after the look" });
    };
    return { ...rig, grant, time, look };
  }

  /** berthd ends, and starts again with what is on the disk. */
  async function again({ folder, crash, containers }: Rig, time: { now: number }) {
    await crash();
    const rig = await rigged({ folder, containers, options: { now: () => time.now } });
    // Its first look is over, and shows what was there then.
    await rig.ledger.emit({ event: "marker", message: "after the look" });
    return rig;
  }

  it("outlives the looks that do not show it, and ends with the container once that was seen", async () => {
    const { ledger, containers, grant, look } = await created();
    await look();
    expect(ledger.grant(grant.id)).toMatchObject({ state: "bound", container: "c1" });
    containers.seen = [container(grant)];
    await look();
    expect(ledger.grant(grant.id)?.state).toBe("bound");
    containers.seen = [];
    await look();
    expect(ledger.grant(grant.id)?.state).toBe("released");
  });

  it("ends when the container did not come for as long as a reservation lasts", async () => {
    const { ledger, grant, time, look } = await created();
    time.now += 599_000;
    await look();
    expect(ledger.grant(grant.id)?.state).toBe("bound");
    time.now += 2000;
    await look();
    expect(ledger.grant(grant.id)?.state).toBe("released");
  });

  it("outlives a restart of berthd as well, and ends when it would have without one", async () => {
    const { grant, time, ...rig } = await created();
    time.now += 300_000;
    const second = await again(rig, time);
    expect(second.ledger.grant(grant.id)).toMatchObject({ state: "bound", container: "c1" });
    time.now += 299_000;
    const third = await again(second, time);
    expect(third.ledger.grant(grant.id)?.state).toBe("bound");
    time.now += 2000;
    const fourth = await again(third, time);
    expect(fourth.ledger.grant(grant.id)?.state).toBe("released");
  });

  it.each<[string, (rig: Rig, grant: Grant) => void]>([
    ["by an event", ({ containers }, grant) => containers.run(container(grant))],
    [
      "by a look",
      ({ containers }, grant) => {
        containers.seen = [container(grant)];
      },
    ],
  ])("that was seen %s ends at once when it goes while berthd is away", async (_, show) => {
    const { grant, time, look, ...rig } = await created();
    show(rig, grant);
    await look();
    expect(rig.ledger.grant(grant.id)).not.toHaveProperty("awaitedUntil");
    expect(await named(rig, "started")).toMatchObject([{ grant: grant.id, container: "c1" }]);
    rig.containers.seen = [];
    const second = await again(rig, time);
    expect(second.ledger.grant(grant.id)?.state).toBe("released");
  });

  it("without a word of who binds it, which is berthd itself, waits for nothing", async () => {
    const { ledger, containers, ...rig } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    got(await ledger.bind({ id: grant.id, token: grant.token, container: "c1" }));
    expect(ledger.grant(grant.id)).not.toHaveProperty("awaitedUntil");
    const second = await again({ ...rig, ledger, containers }, { now: Date.now() });
    expect(second.ledger.grant(grant.id)?.state).toBe("released");
  });

  it("gives its units to nobody else meanwhile", async () => {
    const { ledger, grant, look } = await created();
    await look();
    const rest = await Promise.all(
      Array.from({ length: 7 }, () => ledger.reserve({ ...wish("bob"), ask: one })),
    );
    const granted = rest.filter(({ ok }) => ok).map(got);
    expect(granted).toHaveLength(6);
    expect(uuids(granted)).not.toContain(grant.units[0]?.uuid);
  });
});
