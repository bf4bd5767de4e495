import { describe, expect, it } from "vitest";
import { StoreError } from "../../../../agent/src/store";
import type { Grant } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { closeRigs, got, refused, rigged, wish } from "./cases";
import { inventoryOf, makeRig, newFolder, type Rig } from "./rig";

closeRigs();

describe("the queue", () => {
  async function full(): Promise<Rig & { held: Grant[] }> {
    const rig = await rigged();
    const held = (await Promise.all(Array.from({ length: 7 }, () => rig.ledger.reserve(wish("alice"))))).map(
      got,
    );
    return { ...rig, held };
  }

  it("grants when something is given back, in the transaction that frees it", async () => {
    const { ledger, held, store } = await full();
    const waiting = ledger.reserve(wish("bob", { waitSeconds: 60 }));
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    expect(ledger.queue()[0]).toMatchObject({ user: "bob", position: 1, reason: { code: "busy" } });
    const before = store.commits;
    const freed = got(await ledger.release(held[3]?.id ?? ""));
    const granted = got(await waiting);
    expect(granted.units[0]?.uuid).toBe(freed.units[0]?.uuid);
    expect(granted.token).toBeGreaterThan(freed.token);
    expect(store.commits - before).toBe(1);
    expect(ledger.queue()).toEqual([]);
  });

  it("is fair between groups: one of the group with less goes before many of the other", async () => {
    const { ledger, held } = await full();
    const order: string[] = [];
    const ask = (user: string) =>
      ledger.reserve(wish(user, { waitSeconds: 60 })).then((result) => {
        order.push(got(result).user);
      });
    const all = [ask("bob"), ask("bob"), ask("carol")];
    await until("they wait", 30_000, () => ledger.queue().length === 3);
    for (const { id } of held.slice(0, 3)) got(await ledger.release(id));
    await Promise.all(all);
    expect(order[0]).toBe("carol");
  });

  it("answers at the deadline that nothing became free", async () => {
    const { ledger } = await full();
    const started = Date.now();
    const refusal = refused(await ledger.reserve(wish("bob", { waitSeconds: 1 })));
    expect(refusal.code).toBe("busy");
    expect(Date.now() - started).toBeGreaterThanOrEqual(990);
    expect(ledger.queue()).toEqual([]);
  });

  it("forgets who went away, and gives nothing to them", async () => {
    const { ledger, held } = await full();
    const gone = new AbortController();
    const waiting = ledger.reserve(wish("bob", { waitSeconds: 60 }), gone.signal);
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    gone.abort();
    expect(refused(await waiting).code).toBe("conflict");
    expect(ledger.queue()).toEqual([]);
    got(await ledger.release(held[0]?.id ?? ""));
    expect(ledger.grants({ user: "bob" })).toEqual([]);
  });

  it("gives back what was granted in the moment in which its caller went", async () => {
    const { ledger, store } = await rigged();
    const gone = new AbortController();
    const commit = store.commit.bind(store);
    const granted: string[] = [];
    store.commit = (batch) => {
      commit(batch);
      for (const put of batch.puts) if (put.table === "grants") granted.push(put.row.id);
      gone.abort();
    };
    await ledger.reserve(wish("bob", { waitSeconds: 60 }), gone.signal);
    expect(granted.length).toBeGreaterThan(0);
    expect(store.tables.grants.get(granted[0] ?? "")).toMatchObject({
      state: "released",
      reason: "the caller went away",
    });
    expect(ledger.grants()).toEqual([]);
  });

  it("does not let a newcomer overtake those it would be unfair to", async () => {
    const { ledger, held } = await full();
    // Carol's group has nothing; hers is next. Bob asks in the moment in which something is free.
    const carol = ledger.reserve({
      user: "carol",
      ask: { kind: "mig", count: 2 },
      purpose: "two",
      waitSeconds: 60,
    });
    await until("carol waits", 30_000, () => ledger.queue().length === 1);
    got(await ledger.release(held[0]?.id ?? ""));
    expect(ledger.queue()).toHaveLength(1);
    got(await ledger.release(held[1]?.id ?? ""));
    expect(got(await carol).units).toHaveLength(2);
  });

  it("waits on through a commit that failed", async () => {
    const { ledger, held, store } = await full();
    const waiting = ledger.reserve(wish("bob", { waitSeconds: 60 }));
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    const commit = store.commit.bind(store);
    store.commit = () => {
      throw new StoreError("io", "a broken disk");
    };
    expect(refused(await ledger.release(held[0]?.id ?? "")).code).toBe("closed");
    expect(ledger.queue()).toHaveLength(1);
    store.commit = commit;
    got(await ledger.release(held[0]?.id ?? ""));
    expect(got(await waiting).user).toBe("bob");
  });

  it("is looked at again when limits or GPUs change", async () => {
    const { ledger, gpus, limits } = await full();
    const waiting = ledger.reserve(wish("bob", { waitSeconds: 60 }));
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    limits.changed();
    gpus.change({ inventory: inventoryOf(2) });
    expect(got(await waiting).units[0]?.gpu).toBe("GPU-1");
  });

  it("ends with closed when berthd stops", async () => {
    const { ledger } = await full();
    const waiting = ledger.reserve(wish("bob", { waitSeconds: 60 }));
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    await ledger.stop();
    expect(refused(await waiting).code).toBe("closed");
    expect(refused(await ledger.reserve(wish("carol"))).code).toBe("closed");
  });

  it("takes no more than 64 of one user", async () => {
    const { ledger } = await full();
    const many = Array.from({ length: 65 }, () => ledger.reserve(wish("bob", { waitSeconds: 60 })));
    const first = refused(await Promise.race(many));
    expect(first).toMatchObject({ code: "over-limit" });
    expect(ledger.queue()).toHaveLength(64);
    for (const { id } of ledger.queue()) got(ledger.cancel(id));
    await Promise.all(many);
  });
});

describe("idempotency keys", () => {
  it("give the same grant, at once, in parallel, and after a restart", async () => {
    const folder = newFolder();
    const first = await makeRig({ folder });
    const keyed = wish("alice", { idempotencyKey: "k1", actor: "user:alice" });
    const [a, b] = await Promise.all([first.ledger.reserve(keyed), first.ledger.reserve(keyed)]);
    const grant = got(a);
    expect(got(b)).toEqual(grant);
    expect(got(await first.ledger.reserve(keyed)).id).toBe(grant.id);
    await first.crash();
    const { ledger } = await rigged({ folder });
    expect(got(await ledger.reserve(keyed)).id).toBe(grant.id);
    expect(ledger.grants()).toHaveLength(1);
    // Another actor's key is another key; another request under the same key is a mistake.
    expect(got(await ledger.reserve({ ...keyed, actor: "user:bob", user: "bob" })).id).not.toBe(grant.id);
    expect(refused(await ledger.reserve({ ...keyed, purpose: "other" })).code).toBe("conflict");
    got(await ledger.release(grant.id));
    expect(got(await ledger.reserve(keyed)).state).toBe("released");
  });

  it("sent again after the first connection broke waits on its own", async () => {
    const { ledger } = await rigged({ inventory: inventoryOf(1, 1) });
    const held = got(await ledger.reserve(wish("bob")));
    const keyed = wish("alice", { idempotencyKey: "k1", actor: "user:alice", waitSeconds: 60 });
    const gone = new AbortController();
    const first = ledger.reserve(keyed, gone.signal);
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    const second = ledger.reserve(keyed, new AbortController().signal);
    gone.abort();
    expect(refused(await first).code).toBe("conflict");
    await until("the second waits", 30_000, () => ledger.queue().length === 1);
    got(await ledger.release(held.id));
    expect(got(await second).user).toBe("alice");
  });

  it("withdrawn by its id is withdrawn for whoever sent it again, too", async () => {
    const { ledger } = await rigged({ inventory: inventoryOf(1, 1) });
    got(await ledger.reserve(wish("bob")));
    const keyed = wish("alice", { idempotencyKey: "k1", actor: "user:alice", waitSeconds: 60 });
    const both = [
      ledger.reserve(keyed, new AbortController().signal),
      ledger.reserve(keyed, new AbortController().signal),
    ];
    await until("it waits", 30_000, () => ledger.queue().length === 1);
    expect(ledger.queue()[0]).toMatchObject({ actor: "user:alice", idempotencyKey: "k1" });
    got(ledger.cancel(ledger.queue()[0]?.id ?? ""));
    for (const answer of both) expect(refused(await answer).code).toBe("conflict");
    expect(ledger.queue()).toEqual([]);
  });

  it("of a refusal is not kept: the next try may be granted", async () => {
    const { ledger } = await rigged({ inventory: inventoryOf(1, 1) });
    const held = got(await ledger.reserve(wish("bob")));
    const keyed = wish("alice", { idempotencyKey: "k1", actor: "user:alice" });
    expect(refused(await ledger.reserve(keyed)).code).toBe("busy");
    got(await ledger.release(held.id));
    expect(got(await ledger.reserve(keyed)).user).toBe("alice");
  });
});
