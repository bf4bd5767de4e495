/**
 * Containers whose labels are not their own: copies of one whose grant is over, or of two. Proves: what they have is
 * written down under a name and a number that nobody had, the history stays, and the ledger stays open. Also: which keys
 * the stack dropped is known after a restart, and a commit that fails takes it back.
 */
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../../agent/src/store/errors";
import { until } from "../../../lib/until";
import { closeRigs, container, got, one, rigged, uuids, wish } from "./cases";
import type { Rig } from "./rig";

closeRigs();

async function over(rig: Rig, user: string) {
  const grant = got(await rig.ledger.reserve(wish(user)));
  return got(await rig.ledger.release(grant.id));
}

/** A look, and what follows from it. */
async function looked({ ledger, containers }: Rig): Promise<void> {
  containers.emit({ kind: "unsure" });
  for (let n = 0; n < 5; n++) await ledger.emit({ event: "marker", message: "time for a look" });
}

describe("a copied container with a grant that is over", () => {
  it.each<[string, (a: { id: string; token: number }, b: { id: string; token: number }) => object]>([
    ["its id and its token", (a) => ({ grant: a.id, token: a.token })],
    ["its id and another's token", (a, b) => ({ grant: a.id, token: b.token })],
    ["its id and a token of no grant", (a) => ({ grant: a.id, token: 4_000_000 })],
    ["another id and its token", (a) => ({ grant: "gcopied", token: a.token })],
  ])("%s: is adopted under names of its own, by an event and by a look alike", async (_, labels) => {
    for (const how of ["event", "look"] as const) {
      const rig = await rigged();
      const { ledger, containers } = rig;
      const [a, b] = [await over(rig, "alice"), await over(rig, "bob")];
      const copy = { ...container(a), user: "alice", units: ["MIG-0-3"], ...labels(a, b) };
      if (how === "event") containers.run(copy);
      else containers.seen = [copy];
      await looked(rig);
      await until("it is adopted", 5_000, () => ledger.grants().length === 1);
      const [adopted] = ledger.grants();
      expect(adopted).toMatchObject({ state: "bound", container: "c1", user: "alice" });
      expect([a.id, b.id, "gcopied"]).not.toContain(adopted?.id);
      expect(adopted?.token).toBeGreaterThan(b.token);
      expect(ledger.closed()).toBeUndefined();
      // What was is still there.
      for (const grant of [a, b]) expect(rig.store.tables.grants.get(grant.id)).toEqual(grant);
      expect(got(await ledger.reserve(wish("carol"))).token).toBeGreaterThan(adopted?.token ?? 0);
    }
  });

  it("and its original, twice over, have a grant each", async () => {
    const rig = await rigged();
    const a = await over(rig, "alice");
    rig.containers.seen = ["c1", "c2"].map((id, n) => container(a, id, { units: [`MIG-0-${n}`] }));
    await looked(rig);
    const found = rig.ledger.grants();
    expect(found.map((grant) => grant.container).sort()).toEqual(["c1", "c2"]);
    expect(new Set([a, ...found].map(({ id }) => id)).size).toBe(3);
    expect(new Set([a, ...found].map(({ token }) => token)).size).toBe(3);
  });
});

describe("a grant that ends and a copy that starts in one turn", () => {
  it("are two grants", async () => {
    const rig = await rigged();
    const { ledger } = rig;
    const grant = got(await ledger.reserve(wish("alice")));
    got(await ledger.bind({ id: grant.id, token: grant.token, container: "c1" }));
    const turn = await Promise.all([
      ledger.containerGone("c1"),
      ledger.reconcile([container(grant, "c2", { token: grant.token + 5, units: ["MIG-0-6"] })]),
    ]);
    turn.map(got);
    expect(ledger.grants()).toMatchObject([{ container: "c2", state: "bound" }]);
    expect(ledger.grants()[0]?.id).not.toBe(grant.id);
    expect(rig.store.tables.grants.get(grant.id)).toMatchObject({ state: "released" });
  });
});

const declared = (user: string) => [{ key: `workspace/${user}`, user, ask: one }];
/** A container that started with alice's key. */
const keyed = (id: string, units: string[]) => ({
  ...{ container: id, name: id, user: "alice", units, grant: "workspace/alice", running: true },
});

describe("a key that the stack dropped", () => {
  /** berthd ends, and starts again with what is on the disk and with these containers. */
  async function again({ folder, crash, containers }: Rig, ...seen: Rig["containers"]["seen"]) {
    await crash();
    containers.seen = seen;
    const rig = await rigged({ folder, containers });
    await looked(rig);
    return rig;
  }
  const dropped = async () => {
    const rig = await rigged();
    got(await rig.ledger.applyDeclared(declared("alice")));
    got(await rig.ledger.applyDeclared([]));
    expect(rig.ledger.grants()).toEqual([]);
    return rig;
  };

  it("is dropped after a restart of berthd, too, for a container that started meanwhile or starts then", async () => {
    const first = await again(await dropped(), keyed("c1", ["MIG-0-2"]));
    expect(first.ledger.grants()).toMatchObject([{ container: "c1", key: "workspace/alice", dropped: true }]);
    const second = await again(first);
    expect(second.ledger.grants()).toEqual([]);
    second.containers.run(keyed("c2", ["MIG-0-3"]));
    await looked(second);
    expect(second.ledger.grants()).toMatchObject([{ container: "c2", dropped: true }]);
    expect(second.ledger.declaredNow()).toEqual([]);
  });

  it("is declared after a restart once the stack declared it anew", async () => {
    const rig = await dropped();
    got(await rig.ledger.applyDeclared(declared("alice")));
    const [grant] = rig.ledger.grants();
    const units = uuids(grant ? [grant] : []);
    const restarted = await again(rig, keyed("c1", units));
    expect(restarted.ledger.grants()).toMatchObject([{ id: grant?.id, container: "c1", state: "bound" }]);
    expect(restarted.ledger.declaredNow()).toHaveLength(1);
  });

  it("is the stack's where the database never had it: its container is what is left of it", async () => {
    const rig = await again(await rigged(), keyed("c1", ["MIG-0-2"]));
    expect(rig.ledger.grants()).toMatchObject([{ container: "c1", key: "workspace/alice" }]);
    expect(rig.ledger.grants()[0]).not.toHaveProperty("dropped");
    expect(rig.ledger.declaredNow()).toHaveLength(1);
  });
});

describe("a commit that fails", () => {
  /** The stack's word in a turn that cannot be written. */
  async function unwritten(rig: Rig, word: Parameters<Rig["ledger"]["applyDeclared"]>[0]): Promise<void> {
    const commit = rig.store.commit.bind(rig.store);
    rig.store.commit = () => {
      throw new StoreError("full", "no room");
    };
    expect((await rig.ledger.applyDeclared(word)).ok).toBe(false);
    rig.store.commit = commit;
    await rig.ledger.emit({ event: "marker", message: "written again" });
  }
  /** A container that started with the key, and what its grant is then. */
  async function started(rig: Rig) {
    rig.containers.seen = [keyed("c9", ["MIG-0-5"])];
    await looked(rig);
    return rig.ledger.grants().find((grant) => grant.container === "c9");
  }

  it("leaves a key dropped that the stack dropped before it", async () => {
    const rig = await rigged();
    got(await rig.ledger.applyDeclared(declared("alice")));
    got(await rig.ledger.applyDeclared([]));
    await unwritten(rig, declared("alice"));
    expect(await started(rig)).toMatchObject({ dropped: true });
    expect(rig.ledger.declaredNow()).toEqual([]);
  });

  it("leaves a key that it could not declare, and that nobody dropped, as it was", async () => {
    const rig = await rigged();
    await unwritten(rig, declared("alice"));
    expect((await started(rig))?.dropped).toBeUndefined();
  });

  it("leaves a key declared that it could not drop", async () => {
    const rig = await rigged();
    got(await rig.ledger.applyDeclared(declared("alice")));
    await unwritten(rig, []);
    expect(rig.ledger.declaredNow()).toHaveLength(1);
    got(await rig.ledger.applyDeclared(declared("alice")));
    got(await rig.ledger.applyDeclared([]));
    expect(await started(rig)).toMatchObject({ dropped: true });
  });
});
