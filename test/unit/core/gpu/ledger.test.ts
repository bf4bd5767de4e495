import { describe, expect, it } from "vitest";
import {
  type Ask,
  bind,
  type Ctx,
  containerGone,
  containerStarted,
  containerStopped,
  createState,
  type LedgerState,
  release,
  reserve,
  tick,
} from "../../../../core/gpu";
import { gpu, type LimitValues } from "../../../lib/core-node";
import { inventory, Node, one, whole } from "./ledger-node";

describe("reserve", () => {
  it("writes down a grant with a token, a group and an end", () => {
    const grant = new Node().reserve("alice");
    expect(grant).toMatchObject({ id: "g1", token: 1, user: "alice", group: "student", state: "reserved" });
    expect(grant.reservedUntil).toBe(1_060_000);
  });

  it("has no end for a declared one, and one live grant per key", () => {
    const node = new Node();
    expect(node.reserve("alice", one, "workspace/alice")).not.toHaveProperty("reservedUntil");
    expect(
      node.refused((state, ctx) =>
        reserve(state, ctx, { user: "alice", ask: one, purpose: "", key: "workspace/alice" }),
      ),
    ).toBe("conflict: workspace/alice has grant g1 already");
  });

  it("refuses a closed ledger, an unknown user, a bad ask", () => {
    const node = new Node();
    const ask = (user: string, what: Ask) =>
      node.refused((state, ctx) => reserve(state, ctx, { user, ask: what, purpose: "" }));
    expect(ask("nobody", one)).toBe("unknown-user: nobody is not a user of this node");
    expect(ask("alice", { ...one, count: 1.5 })).toContain("bad-request: count 1.5");
    node.state.closed = "the database is read-only";
    expect(ask("alice", one)).toBe("closed: nothing new is granted at the moment: the database is read-only");
  });

  const cases: [string, LimitValues, Ask, string][] = [
    [
      "a whole GPU",
      { allow_full_gpu: false },
      whole,
      "not-allowed: alice may not have whole GPUs (groups.student.allow_full_gpu)",
    ],
    [
      "too many for one container",
      { max_gpus_per_container: 1 },
      { ...one, count: 2 },
      "over-limit: 2 for one container, and alice may have 1 (groups.student.max_gpus_per_container)",
    ],
    [
      "too many in all",
      { max_mig_instances: 1 },
      one,
      "over-limit: alice uses 1 of 1 GPUs and MIG instances by job (0:0), and 1 more was asked for (groups.student.max_mig_instances)",
    ],
    [
      "too many containers",
      { max_containers_per_user: 1 },
      one,
      "over-limit: alice has 1 of 1 containers, those to come included (groups.student.max_containers_per_user)",
    ],
  ];
  for (const [name, rules, ask, expected] of cases) {
    it(`names the rule against ${name}`, () => {
      const node = new Node();
      node.reserve("alice");
      node.rules.set("alice", rules);
      expect(node.refused((state, ctx) => reserve(state, ctx, { user: "alice", ask, purpose: "" }))).toBe(
        expected,
      );
      // The limits are of one user.
      expect(node.reserve("bob", one).state).toBe("reserved");
    });
  }

  it("allows exactly as much as the limit, and a share where whole GPUs are not allowed", () => {
    const node = new Node();
    node.rules.set("alice", { max_mig_instances: 2, allow_full_gpu: false });
    node.reserve("alice");
    expect(node.reserve("alice", { kind: "share", count: 1, memoryMiB: 1000 }).units).toMatchObject([
      { name: "1" },
    ]);
  });

  it("counts containers without GPUs where the caller knows of them", () => {
    const node = new Node();
    node.rules.set("alice", { max_containers_per_user: 2 });
    node.reserve("alice");
    const ask = (containers: number) =>
      reserve(node.state, node.ctx, { user: "alice", ask: one, purpose: "", containers });
    // The grant's own container is to come.
    expect(ask(0).ok).toBe(true);
    expect(ask(1)).toMatchObject({ refusal: { rule: "groups.student.max_containers_per_user" } });
  });

  it("says all the rules that speak against it at once", () => {
    const node = new Node();
    node.rules.set("alice", { allow_full_gpu: false, max_mig_instances: 0 });
    const text = node.refused((state, ctx) =>
      reserve(state, ctx, { user: "alice", ask: whole, purpose: "" }),
    );
    expect(text).toContain("(groups.student.allow_full_gpu); alice uses 0 of 0");
  });
});

describe("bind", () => {
  it("takes the right token alone, and is the same the second time", () => {
    const node = new Node();
    const { id, token } = node.reserve("alice");
    const to =
      (container: string, what = token) =>
      (state: LedgerState, ctx: Ctx) =>
        bind(state, ctx, { id, token: what, container });
    expect(node.refused(to("c1", token + 1))).toBe("conflict: grant g1 has token 1, not 2");
    expect(node.done(to("c1"))).toMatchObject({
      value: { state: "bound", container: "c1" },
      events: ["bound"],
    });
    expect(node.done(to("c1")).events).toEqual([]);
    expect(node.refused(to("c2"))).toBe("conflict: grant g1 is of container c1");
    expect(node.refused((state, ctx) => bind(state, ctx, { id: "g9", token, container: "c" }))).toContain(
      "not-found",
    );
  });

  it("gives one container one grant", () => {
    const node = new Node();
    node.run("alice", "c1");
    const { id, token } = node.reserve("alice");
    expect(node.refused((state, ctx) => bind(state, ctx, { id, token, container: "c1" }))).toBe(
      "conflict: container c1 has grant g1 already",
    );
  });

  it("is refused once the reservation is over, and while its GPU is gone", () => {
    const node = new Node();
    const { id, token } = node.reserve("alice");
    const late = (state: LedgerState, ctx: Ctx) => bind(state, ctx, { id, token, container: "c1" });
    node.gpus({ ...inventory, gpus: inventory.gpus.slice(1) });
    expect(node.refused(late)).toContain("conflict: grant g1 cannot be used: gpu lost: 0:0");
    node.now += 60_000;
    expect(node.done(tick).events).toEqual(["expired"]);
    expect(node.refused(late)).toBe("not-found: there is no live grant g1");
  });
});

describe("a container that stops", () => {
  const holds: [string, number | null, string[], number | null | undefined][] = [
    ["is held for the time that the limits say", 900, ["stopped"], 1_900_000],
    ["is held without end", null, ["stopped"], null],
    ["is released at once", 0, ["released"], undefined],
  ];
  for (const [name, hold, events, heldUntil] of holds) {
    it(name, () => {
      const node = new Node();
      node.rules.set("alice", { gpu_hold_after_stop: hold });
      node.run("alice", "c1");
      const stopped = node.done((state, ctx) => containerStopped(state, ctx, "c1"));
      expect(stopped.events).toEqual(events);
      expect(stopped.value[0]?.heldUntil).toBe(heldUntil);
      expect(node.done((state, ctx) => containerStopped(state, ctx, "c1")).events).toEqual([]);
    });
  }

  it("gets its grant back when it starts in time, and is refused after that", () => {
    const node = new Node();
    const { id, token } = node.run("alice", "c1");
    const start = (state: LedgerState, ctx: Ctx) =>
      containerStarted(state, ctx, { container: "c1", grant: id, token });
    node.done((state, ctx) => containerStopped(state, ctx, "c1"));
    node.now += 899_000;
    expect(node.done(tick).events).toEqual([]);
    const [back] = node.done(start).value;
    expect(back).toMatchObject({ state: "bound", container: "c1" });
    expect(back).not.toHaveProperty("heldUntil");
    node.done((state, ctx) => containerStopped(state, ctx, "c1"));
    node.now += 900_000;
    expect(node.done(tick)).toMatchObject({ events: ["expired"], value: [{ reason: "hold is over" }] });
    expect(node.refused(start)).toBe("not-found: container c1 has no live grant g1");
  });

  it("leaves a declared grant reserved for the next container of its key", () => {
    const node = new Node();
    const grant = node.reserve("alice", one, "workspace/alice");
    const start =
      (container: string, units = ["MIG-0-0"]) =>
      (state: LedgerState, ctx: Ctx) =>
        containerStarted(state, ctx, { container, grant: "workspace/alice", units });
    expect(node.refused(start("c1", ["MIG-0-1"]))).toContain(
      "conflict: container c1 has MIG-0-1, and grant g1 is of MIG-0-0",
    );
    expect(node.done(start("c1")).events).toEqual(["bound"]);
    expect(node.refused(start("c2"))).toBe("conflict: grant g1 is of container c1");
    const [free] = node.done((state, ctx) => containerGone(state, ctx, "c1")).value;
    expect(free).toMatchObject({ id: grant.id, state: "reserved" });
    expect(free).not.toHaveProperty("container");
    node.now += 1e9;
    expect(node.done(tick).events).toEqual([]);
    expect(node.done(start("c2")).value).toMatchObject([{ container: "c2", state: "bound" }]);
  });

  it("ends its grant when it is removed", () => {
    const node = new Node();
    node.run("alice", "c1");
    expect(node.done((state, ctx) => containerGone(state, ctx, "c1")).events).toEqual(["released"]);
    expect(node.live()).toEqual([]);
  });
});

describe("release", () => {
  it("is refused while a container runs, unless the caller stopped it", () => {
    const node = new Node();
    const { id } = node.run("alice", "c1");
    expect(node.refused((state, ctx) => release(state, ctx, id))).toBe(
      "conflict: grant g1 is in use by container c1",
    );
    expect(node.done((state, ctx) => release(state, ctx, id, "by root", true)).value).toMatchObject({
      state: "released",
      reason: "by root",
    });
    expect(node.refused((state, ctx) => release(state, ctx, id))).toContain("not-found");
  });

  it("is for the stack to do where the stack declares it", () => {
    const node = new Node();
    const { id } = node.reserve("alice", one, "workspace/alice");
    expect(node.refused((state, ctx) => release(state, ctx, id))).toBe(
      "not-allowed: grant g1 is declared by the stack as workspace/alice",
    );
  });

  it("goes on while the ledger is closed; expiry does not", () => {
    const node = new Node();
    const { id } = node.reserve("alice");
    node.state.closed = "Docker does not answer";
    node.now += 1e9;
    expect(node.done(tick).events).toEqual([]);
    expect(node.done((state, ctx) => release(state, ctx, id)).events).toEqual(["released"]);
  });
});

describe("tokens", () => {
  it("grow for ever, over restarts, from released rows too", () => {
    const node = new Node();
    const first = node.reserve("alice");
    const ended = node.done((state, ctx) => release(state, ctx, first.id)).value;
    node.state = createState(inventory, [ended]);
    expect(node.reserve("alice").token).toBe(2);
    node.state = createState(inventory, [], { nextToken: 77 });
    expect(node.reserve("alice").token).toBe(77);
  });

  it("that a container carries are not given again", () => {
    const node = new Node();
    node.seen([{ container: "c1", user: "alice", units: [], grant: "old", token: 500, running: false }]);
    expect(node.reserve("alice").token).toBe(501);
  });
});

describe("hardware that changes", () => {
  it("keeps a lost GPU's grant occupied, tells it, and takes it back", () => {
    const node = new Node();
    node.run("alice", "c1", whole);
    const lost = node.gpus({ ...inventory, gpus: inventory.gpus.slice(0, 1) });
    expect(lost).toMatchObject({
      events: ["lost"],
      value: { lost: [{ state: "bound", reason: "gpu lost: 1 (GPU-1)" }] },
    });
    const back = node.gpus(inventory);
    expect(back).toMatchObject({ events: ["found"], value: { found: [{ id: "g1" }] } });
    expect(
      node.refused((state, ctx) => reserve(state, ctx, { user: "bob", ask: whole, purpose: "" })),
    ).toContain("busy");
  });

  it("tells the holders of a GPU in quarantine, and grants nothing new on it", () => {
    const node = new Node();
    node.run("alice", "c1");
    const bad = { ...inventory, gpus: inventory.gpus.map((each) => ({ ...each, quarantined: "Xid 79" })) };
    const told = node.gpus(bad);
    expect(told).toMatchObject({ value: { quarantined: [{ reason: "gpu quarantined: 0:0: Xid 79" }] } });
    expect(
      node.refused((state, ctx) => reserve(state, ctx, { user: "bob", ask: one, purpose: "" })),
    ).toContain("quarantined: Xid 79");
  });

  it("grants nothing on a GPU that was divided anew, until its old holder is gone", () => {
    const node = new Node();
    node.run("alice", "c1");
    const anew = gpu(0, { mig: ["3g.40gb"] });
    anew.instances = anew.instances.map((each) => ({ ...each, uuid: "MIG-new" }));
    const told = node.gpus({ ...inventory, gpus: [anew] });
    expect(told).toMatchObject({ events: ["resliced"], value: { resliced: [{ state: "bound" }] } });
    const ask: Ask = { kind: "mig", count: 1, profile: "3g.40gb" };
    expect(node.refused((state, ctx) => reserve(state, ctx, { user: "bob", ask, purpose: "" }))).toContain(
      "divided anew",
    );
    node.done((state, ctx) => containerGone(state, ctx, "c1"));
    expect(node.reserve("bob", ask).units).toMatchObject([{ uuid: "MIG-new" }]);
  });

  it("leaves running work alone when a limit is lowered", () => {
    const node = new Node();
    node.run("alice", "c1");
    node.rules.set("alice", { max_mig_instances: 0 });
    node.done((state, ctx) => containerStopped(state, ctx, "c1"));
    expect(node.done((state, ctx) => containerStarted(state, ctx, { container: "c1" })).events).toEqual([
      "resumed",
    ]);
  });
});
