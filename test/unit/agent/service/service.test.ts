/** The one writer: group commits, the queue, idempotency, events, reconciling, closing. Real SQLite, fake GPUs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../../agent/src/store";
import type { Grant } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { closeRigs, container, got, one, refused, rigged, uuids, wish } from "./cases";
import { FakeContainers, inventoryOf, makeRig, newFolder } from "./rig";

closeRigs();

describe("group commit", () => {
  it("writes what arrives in one turn in one transaction, each decided on the one before", async () => {
    const { ledger, store } = await rigged();
    const before = store.commits;
    const results = await Promise.all(Array.from({ length: 10 }, () => ledger.reserve(wish("alice"))));
    expect(store.commits - before).toBe(1);
    const grants = results.filter((result) => result.ok).map(got);
    // Seven instances: seven are granted, each to one, and three are told that nothing is free.
    expect(new Set(uuids(grants)).size).toBe(7);
    expect(results.filter((result) => !result.ok).map((result) => refused(result).code)).toEqual([
      "busy",
      "busy",
      "busy",
    ]);
    expect(new Set(grants.map(({ token }) => token)).size).toBe(7);
  });

  it("writes nothing for what changes nothing", async () => {
    const { ledger, store } = await rigged();
    const before = store.commits;
    expect(refused(await ledger.reserve(wish("nobody"))).code).toBe("unknown-user");
    expect(refused(await ledger.release("g-none")).code).toBe("not-found");
    expect(ledger.check(wish("alice")).ok).toBe(true);
    expect(store.commits).toBe(before);
  });

  it("answers nobody before the commit, and refuses all of a turn whose commit failed", async () => {
    const { ledger, store, fatal } = await rigged();
    const kept = got(await ledger.reserve(wish("alice")));
    const commit = store.commit.bind(store);
    let broken = true;
    store.commit = (batch) => {
      if (broken) throw new StoreError("full", "the disk is full");
      commit(batch);
    };
    const [made, freed] = await Promise.all([ledger.reserve(wish("bob")), ledger.release(kept.id)]);
    expect(refused(made)).toMatchObject({ code: "closed" });
    expect(refused(freed).message).toContain("the disk is full");
    // As it was: nothing granted, nothing released, and the state agrees with the disk.
    expect(ledger.grants().map(({ id }) => id)).toEqual([kept.id]);
    expect(store.tables.grants.history({ limit: 10 }).map(({ id }) => id)).toEqual([kept.id]);
    expect(ledger.health()).toMatchObject({ status: "degraded" });
    expect(ledger.health().reasons.join()).toContain("the disk is full");
    broken = false;
    // By itself, and what was decided in the failed turn is free again.
    const all = await Promise.all(Array.from({ length: 7 }, () => ledger.reserve(wish("bob"))));
    expect(all.filter(({ ok }) => ok)).toHaveLength(6);
    expect(ledger.health().status).toBe("ok");
    expect(fatal).toEqual([]);
    const tokens = store.tables.grants.history({ limit: 100 }).map(({ token }) => token);
    expect(new Set(tokens).size).toBe(tokens.length);
  });

  it("ends the process when the database turns out to be corrupt", async () => {
    const { ledger, store, fatal } = await rigged();
    store.commit = () => {
      throw new StoreError("corrupt", "malformed");
    };
    expect(refused(await ledger.reserve(wish("alice"))).code).toBe("closed");
    expect(fatal.map(({ message }) => message)).toEqual(["malformed"]);
  });

  it("keeps a mistake in one command from the others of its turn", async () => {
    const { ledger, limits } = await rigged();
    const of = limits.of;
    limits.of = (user) => {
      if (user === "bob") throw new Error("a mistake");
      return of(user);
    };
    const [alice, bob] = await Promise.allSettled([
      ledger.reserve(wish("alice")),
      ledger.reserve(wish("bob")),
    ]);
    expect(alice.status).toBe("fulfilled");
    expect(bob).toMatchObject({ status: "rejected", reason: { message: "a mistake" } });
  });
});

describe("a restart", () => {
  it("finds every grant again, and gives the same GPU to nobody else", async () => {
    const folder = newFolder();
    const first = await makeRig({ folder });
    const grants = [
      got(await first.ledger.reserve(wish("alice"))),
      got(await first.ledger.reserve(wish("bob"))),
    ];
    await first.crash();
    const { ledger } = await rigged({ folder });
    expect(ledger.grants()).toEqual(grants);
    const next = got(await ledger.reserve(wish("carol")));
    expect(uuids(grants)).not.toContain(next.units[0]?.uuid);
    expect(next.token).toBeGreaterThan(Math.max(...grants.map(({ token }) => token)));
  });

  it("is closed until Docker was asked, and opens by itself", async () => {
    const containers = new FakeContainers();
    containers.down = "dockerd is away";
    const { ledger } = await rigged({ containers });
    const why = refused(await ledger.reserve(wish("alice")));
    expect(why.code).toBe("closed");
    expect(why.message).toContain("dockerd is away");
    expect(ledger.health()).toMatchObject({ status: "degraded" });
    containers.down = undefined;
    await until("the ledger is open", 30_000, () => ledger.closed() === undefined);
    expect((await ledger.reserve(wish("alice"))).ok).toBe(true);
  });

  it("closes when Docker goes away later, and leaves what runs alone", async () => {
    const { ledger, containers } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    got(await ledger.bind({ id: grant.id, token: grant.token, container: "c1" }));
    containers.seen = [container(grant)];
    containers.down = "dockerd is away";
    containers.emit({ kind: "unsure" });
    await until("the ledger is closed", 30_000, () => ledger.closed() !== undefined);
    expect(refused(await ledger.reserve(wish("bob"))).code).toBe("closed");
    expect(ledger.grant(grant.id)?.state).toBe("bound");
    containers.down = undefined;
    await until("the ledger is open", 30_000, () => ledger.closed() === undefined);
    expect(ledger.grant(grant.id)?.state).toBe("bound");
  });

  it("after the database was lost, is rebuilt from the containers, and grants none of theirs", async () => {
    const folder = newFolder();
    const first = await makeRig({ folder });
    const mine = got(await first.ledger.reserve(wish("alice")));
    got(await first.ledger.bind({ id: mine.id, token: mine.token, container: "c1" }));
    got(await first.ledger.reserve(wish("bob")));
    await first.events();
    await first.crash();
    writeFileSync(join(folder, "ledger.db"), "not a database");
    const containers = new FakeContainers();
    containers.seen = [container(mine)];
    const { ledger, events, store } = await rigged({ folder, containers });
    expect(store.loaded.lost).toBeDefined();
    expect(ledger.grants().map(({ id, state, container: at }) => [id, state, at])).toEqual([
      [mine.id, "bound", "c1"],
    ]);
    const rest = await Promise.all(Array.from({ length: 7 }, () => ledger.reserve(wish("carol"))));
    const granted = rest.filter((result) => result.ok).map(got);
    expect(granted).toHaveLength(6);
    expect(uuids(granted)).not.toContain(mine.units[0]?.uuid);
    for (const { token } of granted) expect(token).toBeGreaterThan(1_000_000);
    const lines = await events();
    expect(lines.filter(({ event }) => event === "ledger-lost")).toHaveLength(1);
    // Numbers go on where the log ended.
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
  });
});

describe("containers", () => {
  it("bind, stop, are held and go", async () => {
    const { ledger, limits, containers } = await rigged();
    limits.hold = 3600;
    const grant = got(await ledger.reserve(wish("alice")));
    expect(refused(await ledger.bind({ id: grant.id, token: grant.token + 1, container: "c1" })).code).toBe(
      "conflict",
    );
    containers.run(container(grant));
    await until("bound", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    containers.emit({ kind: "stopped", container: "c1" });
    await until("held", 30_000, () => ledger.grant(grant.id)?.state === "held");
    containers.run(container(grant));
    await until("bound again", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    containers.remove("c1");
    await until("released", 30_000, () => ledger.grant(grant.id)?.state === "released");
  });

  it("that run without a grant of their own occupy what they have", async () => {
    const { ledger, containers } = await rigged();
    containers.run({
      container: "c9",
      name: "c9",
      user: "bob",
      units: ["MIG-0-0"],
      grant: "gone",
      token: 7,
      running: true,
    });
    await until("adopted", 30_000, () => ledger.grants().length === 1);
    const rest = await Promise.all(Array.from({ length: 7 }, () => ledger.reserve(wish("alice"))));
    expect(uuids(rest.filter((result) => result.ok).map(got))).not.toContain("MIG-0-0");
    expect(rest.filter(({ ok }) => !ok)).toHaveLength(1);
  });

  it("started during a look that did not see them yet are not taken for gone", async () => {
    const { ledger, containers } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    containers.during = () => {
      containers.during = undefined;
      containers.run(container(grant));
    };
    containers.emit({ kind: "unsure" });
    await until("the look began", 30_000, () => containers.during === undefined);
    await until("bound", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    await ledger.emit({ event: "marker", message: "after the look" });
    expect(ledger.grant(grant.id)?.state).toBe("bound");
  });

  it("that vanished unseen are found out by the next look", async () => {
    const { ledger, containers } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    containers.run(container(grant));
    await until("bound", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    containers.seen = [];
    containers.emit({ kind: "unsure" });
    await until("released", 30_000, () => ledger.grant(grant.id)?.state === "released");
  });
});

describe("time", () => {
  it("ends a reservation that got no container", async () => {
    let now = Date.now();
    const { ledger } = await rigged({ options: { now: () => now } });
    const grant = got(await ledger.reserve(wish("alice")));
    now += 599_000;
    await ledger.emit({ event: "marker", message: "" });
    expect(ledger.grant(grant.id)?.state).toBe("reserved");
    now += 2000;
    await until("expired", 30_000, () => ledger.grant(grant.id)?.state === "released");
  });
});

describe("GPUs", () => {
  it("that cannot be read close the ledger, and it opens when they can", async () => {
    const { ledger, gpus } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    gpus.change({ problem: "nvidia-smi hangs" });
    const why = refused(await ledger.reserve(wish("bob")));
    expect(why).toMatchObject({ code: "closed" });
    expect(why.message).toContain("nvidia-smi hangs");
    // What is granted goes on, and can be given back.
    expect(got(await ledger.release(grant.id)).state).toBe("released");
    gpus.change({ problem: undefined });
    expect((await ledger.reserve(wish("bob"))).ok).toBe(true);
  });

  it("that are lost keep their holders, who are told", async () => {
    const { ledger, gpus, events } = await rigged({ inventory: inventoryOf(2) });
    const grant = got(await ledger.reserve(wish("alice")));
    const left = inventoryOf(2).gpus.filter(({ uuid }) => uuid !== grant.units[0]?.gpu);
    gpus.change({ inventory: { source: "declared", gpus: left } });
    await until(
      "the holder is told",
      30_000,
      () => ledger.grant(grant.id)?.reason?.includes("lost") === true,
    );
    expect(ledger.health().reasons.join()).toContain("lost");
    expect(ledger.health("bob").status).toBe("ok");
    expect((await events()).some(({ event, grant: id }) => event === "lost" && id === grant.id)).toBe(true);
  });

  it("that are lost while the disk is full are written down later", async () => {
    const { ledger, gpus, store } = await rigged();
    const grant = got(await ledger.reserve(wish("alice")));
    const commit = store.commit.bind(store);
    let failures = 0;
    let broken = true;
    store.commit = (batch) => {
      if (broken) {
        failures++;
        throw new StoreError("full", "full");
      }
      commit(batch);
    };
    gpus.change({ inventory: { source: "declared", gpus: [] } });
    await until("it failed", 30_000, () => failures > 0);
    broken = false;
    await until(
      "written",
      30_000,
      () => store.tables.grants.get(grant.id)?.reason?.includes("lost") === true,
    );
  });
});

describe("the stack's grants", () => {
  const declared = (...users: string[]) =>
    users.map((user) => ({ key: `workspace/${user}`, user, ask: one }));

  it("are planned without a change, and committed as planned or not at all", async () => {
    const { ledger, store } = await rigged();
    const before = store.commits;
    const plan = ledger.planDeclared(declared("alice", "bob"));
    expect(plan.added).toEqual(["workspace/alice", "workspace/bob"]);
    expect(ledger.planDeclared(declared("bob", "alice")).assignment).toEqual(plan.assignment);
    expect(store.commits).toBe(before);
    expect(ledger.grants()).toEqual([]);
    const other = { ...plan.assignment, "workspace/alice": plan.assignment["workspace/bob"] ?? [] };
    expect(refused(await ledger.applyDeclared(declared("alice", "bob"), other)).code).toBe("conflict");
    expect(ledger.grants()).toEqual([]);
    got(await ledger.applyDeclared(declared("alice", "bob"), plan.assignment));
    expect(ledger.assignment()).toEqual(plan.assignment);
    // Again: nothing to do.
    const again = store.commits;
    got(await ledger.applyDeclared(declared("alice", "bob"), plan.assignment));
    expect(store.commits).toBe(again);
  });

  it("that are dropped occupy until their container is gone", async () => {
    const { ledger, containers } = await rigged();
    got(await ledger.applyDeclared(declared("alice")));
    const grant = ledger.grants()[0] as Grant;
    containers.run(container(grant));
    await until("bound", 30_000, () => ledger.grant(grant.id)?.state === "bound");
    got(await ledger.applyDeclared([]));
    expect(ledger.grant(grant.id)).toMatchObject({ state: "bound", dropped: true });
    expect(containers.stopped).toEqual([]);
    containers.remove("c1");
    await until("released", 30_000, () => ledger.grant(grant.id)?.state === "released");
  });

  it("that are dropped give way to an added one: their container is stopped first", async () => {
    const { ledger, containers } = await rigged({ inventory: inventoryOf(1, 1) });
    got(await ledger.applyDeclared(declared("alice")));
    const old = ledger.grants()[0] as Grant;
    containers.run(container(old));
    await until("bound", 30_000, () => ledger.grant(old.id)?.state === "bound");
    const done = got(await ledger.applyDeclared(declared("bob")));
    expect(containers.stopped).toEqual(["c1"]);
    expect(done.waits).toEqual([]);
    expect(ledger.grant(old.id)?.state).toBe("released");
    const next = ledger.grants({ user: "bob" })[0] as Grant;
    expect(next.units[0]?.uuid).toBe(old.units[0]?.uuid);
    expect(next.reason).toBeUndefined();
  });

  it("says so when that container does not stop, and its GPU has one holder all the same", async () => {
    const { ledger, containers } = await rigged({ inventory: inventoryOf(1, 1) });
    got(await ledger.applyDeclared(declared("alice")));
    const old = ledger.grants()[0] as Grant;
    containers.run(container(old));
    await until("bound", 30_000, () => ledger.grant(old.id)?.state === "bound");
    containers.stubborn.add("c1");
    const refusal = refused(await ledger.applyDeclared(declared("bob")));
    expect(refusal).toMatchObject({ code: "conflict" });
    expect(refusal.message).toContain("c1 still runs");
    const next = ledger.grants({ user: "bob" })[0] as Grant;
    expect(refused(await ledger.bind({ id: next.id, token: next.token, container: "c2" })).code).toBe(
      "conflict",
    );
  });
});
