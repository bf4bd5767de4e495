import { describe, expect, it } from "vitest";
import {
  applyDeclared,
  type Ctx,
  containerGone,
  containerStarted,
  containerStopped,
  type LedgerState,
  reserve,
  type SeenContainer,
} from "../../../../core/gpu";
import { h100MiB } from "../../../lib/core-node";
import { inventory, Node, one, whole } from "./ledger-node";

describe("adopting what Docker shows", () => {
  const seen = (more: Partial<SeenContainer> = {}): SeenContainer => ({
    container: "c1",
    user: "alice",
    units: ["MIG-0-0"],
    running: true,
    ...more,
  });

  it("changes nothing when both agree", () => {
    const node = new Node();
    const { id, token } = node.run("alice", "c1");
    expect(node.seen([seen({ grant: id, token })]).events).toEqual([]);
  });

  it("binds a reservation whose container started unseen", () => {
    const node = new Node();
    const { id, token } = node.reserve("alice");
    expect(node.seen([seen({ grant: id, token })]).events).toEqual(["bound"]);
    expect(node.live()).toEqual(["g1 bound 0:0"]);
  });

  it("ends, holds or frees the grants of containers that went or stopped unseen", () => {
    const node = new Node();
    const a = node.run("alice", "c1");
    node.run("bob", "c2");
    expect(node.seen([seen({ grant: a.id, token: a.token, running: false })]).events).toEqual([
      "released",
      "stopped",
    ]);
    expect(node.live()).toEqual(["g1 held 0:0"]);
    expect(node.seen([], false).events).toEqual([]);
  });

  it("rebuilds a lost ledger, with the containers' own ids and tokens", () => {
    const node = new Node();
    const { events } = node.seen([
      seen({ grant: "g7", token: 7 }),
      seen({ container: "c2", user: "bob", units: ["MIG-0-1"], grant: "workspace/bob" }),
    ]);
    expect(events).toEqual(["adopted", "adopted"]);
    expect(node.state.grants.get("g7")).toMatchObject({
      token: 7,
      state: "bound",
      container: "c1",
      group: "student",
    });
    expect([...node.state.grants.values()].map(({ key }) => key)).toEqual([undefined, "workspace/bob"]);
    expect(
      node.refused((state, ctx) => reserve(state, ctx, { user: "carol", ask: one, purpose: "" })),
    ).toContain("busy");
    expect(node.reserve("carol", whole).token).toBe(9);
  });

  it("takes a share for the whole GPU, unless its size is known", () => {
    const node = new Node();
    node.seen([seen({ units: ["GPU-1"], shareMiB: 30_000 })]);
    expect(node.reserve("bob", { kind: "share", count: 1, memoryMiB: 51_559 }).units).toHaveLength(1);
    const other = new Node();
    other.seen([seen({ units: ["GPU-1"] })]);
    expect(
      other.refused((state, ctx) =>
        reserve(state, ctx, { user: "bob", ask: { kind: "share", count: 1, memoryMiB: 1 }, purpose: "" }),
      ),
    ).toContain("busy");
  });

  it("keeps both of two containers with one unit, and grants it to nobody else until both are gone", () => {
    const node = new Node();
    node.run("alice", "c1", whole);
    const both = [seen({ units: ["GPU-1"] }), seen({ container: "c2", user: "bob", units: ["GPU-1"] })];
    const { value } = node.seen(both);
    expect(value.conflicts).toEqual([{ uuid: "GPU-1", grants: ["g1", "g2"] }]);
    expect([...node.state.grants.values()].map(({ reason }) => reason)).toEqual([
      "conflict: 1 is also held by g2",
      "conflict: 1 is also held by g1",
    ]);
    const again = (state: LedgerState, ctx: Ctx) =>
      reserve(state, ctx, { user: "carol", ask: whole, purpose: "" });
    node.done((state, ctx) => containerGone(state, ctx, "c1"));
    expect(node.refused(again)).toContain("busy");
    expect(node.state.grants.get("g2")).not.toHaveProperty("reason");
    node.done((state, ctx) => containerGone(state, ctx, "c2"));
    expect(node.done(again).value.units).toMatchObject([{ uuid: "GPU-1" }]);
  });

  it("does not believe labels that name another's grant or other units", () => {
    const node = new Node();
    const { id, token } = node.reserve("alice");
    node.seen([seen({ user: "bob", units: ["MIG-0-1"], grant: id, token })]);
    expect(node.live()).toEqual(["g1 reserved 0:0", "g2 bound 0:1"]);
    expect(node.state.grants.get("g2")).toMatchObject({ user: "bob", token: 2 });
  });

  it("does not believe a token that another live grant has", () => {
    const node = new Node();
    const { token } = node.reserve("alice");
    node.seen([seen({ user: "bob", units: ["MIG-0-1"], grant: "g9", token })]);
    expect([...node.state.grants.values()].map((grant) => [grant.user, grant.token])).toEqual([
      ["alice", 1],
      ["bob", 2],
    ]);
  });

  it("takes a container of a key that the stack dropped for what it is: over when it goes", () => {
    const node = new Node();
    const grant = "workspace/alice";
    const up = (...users: string[]) =>
      node.done((state, ctx) =>
        applyDeclared(state, ctx, {
          declared: users.map((user) => ({ key: `workspace/${user}`, user, ask: one })),
        }),
      );
    up("alice");
    node.done((state, ctx) => containerStarted(state, ctx, { container: "c1", grant }));
    up();
    node.done((state, ctx) => containerStopped(state, ctx, "c1"));
    expect(node.live()).toEqual([]);
    // The same container, started again by hand.
    node.seen([seen({ grant })], false);
    expect([...node.state.grants.values()]).toMatchObject([{ key: grant, state: "bound", dropped: true }]);
    node.done((state, ctx) => containerGone(state, ctx, "c1"));
    expect(node.live()).toEqual([]);
    // Declared anew, it is the stack's again.
    up("alice");
    node.done((state, ctx) => containerStarted(state, ctx, { container: "c2", grant }));
    node.done((state, ctx) => containerGone(state, ctx, "c2"));
    expect(node.live()).toEqual(["g3 reserved 0:0"]);
  });

  it("keeps a unit that is nowhere to be found in sight", () => {
    const node = new Node();
    node.seen([seen({ units: ["MIG-old"] })]);
    expect(node.state.grants.get("g1")).toMatchObject({
      reason: "gpu lost: ? (MIG-old)",
      units: [{ uuid: "MIG-old" }],
    });
  });

  it("knows such a unit again when its GPU comes back", () => {
    const node = new Node({ ...inventory, gpus: inventory.gpus.slice(1) });
    node.seen([seen()]);
    node.gpus(inventory);
    expect(node.reserve("bob").units).toMatchObject([{ uuid: "MIG-0-1" }]);
    expect(
      node.refused((state, ctx) => reserve(state, ctx, { user: "bob", ask: one, purpose: "" })),
    ).toContain("busy");
  });
});

describe("a container that is found before its GPUs are known", () => {
  const none = { ...inventory, gpus: [] };
  const found = (more: Partial<SeenContainer>) => {
    const node = new Node(none);
    node.seen([{ container: "c1", user: "alice", units: ["MIG-0-0"], running: true, ...more }]);
    return node;
  };

  it.each([
    ["an instance", {}, { kind: "mig", count: 1 }, { name: "0:0", profile: "1g.10gb", shared: false }],
    ["a whole GPU", { units: ["GPU-1"] }, { kind: "gpu", count: 1 }, { name: "1", memoryMiB: h100MiB }],
    [
      "a share",
      { units: ["GPU-1"], shareMiB: 30_000 },
      { kind: "share", count: 1, memoryMiB: 30_000 },
      { name: "1", memoryMiB: 30_000, shared: true },
    ],
  ])("has what it is once they are: %s", (_, more, ask, unit) => {
    const node = found(more);
    const { value, events } = node.gpus(inventory);
    expect(events).toEqual(["found"]);
    expect(value.found).toHaveLength(1);
    expect(node.state.grants.get("g1")).toMatchObject({ ask, units: [unit], state: "bound" });
    expect(node.state.grants.get("g1")).not.toHaveProperty("reason");
  });

  it("puts shares beside each other in no conflict", () => {
    const node = new Node(none);
    const share = { user: "alice", units: ["GPU-1"], shareMiB: 30_000, running: true };
    node.seen([
      { container: "c1", ...share },
      { container: "c2", ...share },
    ]);
    expect(node.gpus(inventory).value.found).toHaveLength(2);
    expect(node.reserve("bob", { kind: "share", count: 1, memoryMiB: 20_000 }).units[0]?.name).toBe("1");
  });

  it("knows one unit of two while the other's GPU is still away", () => {
    const node = found({ units: ["MIG-0-0", "GPU-9"] });
    node.gpus(inventory);
    expect(node.state.grants.get("g1")).toMatchObject({
      units: [{ name: "0:0" }, { name: "?" }],
      reason: "gpu lost: ? (GPU-9)",
    });
  });

  it("is not moved by the stack that declares it", () => {
    const node = found({ grant: "workspace/alice" });
    node.gpus(inventory);
    const declared = [{ key: "workspace/alice", user: "alice", ask: one }];
    const { value } = node.done((state, ctx) => applyDeclared(state, ctx, { declared }));
    expect(value).toMatchObject({ kept: ["workspace/alice"], moved: [] });
    expect(node.live()).toEqual(["g1 bound 0:0"]);
  });
});
