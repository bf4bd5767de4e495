import { describe, expect, it } from "vitest";
import { type Ask, apply, applyDeclared, containerGone, type Grant, reserve } from "../../../../core/gpu";
import { gpu, h100MiB, node } from "../../../lib/core-node";
import { key, names, one, Stack } from "./stack";

const single = () => new Stack(node(gpu(0, { mig: ["1g.10gb"] })));
const two = () => new Stack(node(gpu(0, { mig: ["1g.10gb", "1g.10gb"] })));
const share = (memoryMiB: number): Ask => ({ kind: "share", count: 1, memoryMiB });
const live = ({ state }: Stack) =>
  [...state.grants.values()].map((grant: Grant) =>
    [grant.key?.replace("workspace/", "") ?? grant.user, grant.state, grant.units[0]?.name]
      .concat(grant.dropped ? "dropped" : [])
      .join(" "),
  );

/** Alice's container runs, bob was promised what it has, and it could not be stopped. */
function handedOver(stack: Stack, ask: Ask = one): Stack {
  const pins = ["MIG-0-0"];
  stack.up(key("alice", ask));
  stack.start("alice");
  stack.up(key("bob", ask.kind === "mig" ? { ...one, pins } : ask));
  return stack;
}

describe("a key that is declared again while its container still runs", () => {
  it("does not get its unit back once another was promised it", () => {
    const stack = handedOver(single());
    const plan = stack.plan([key("alice"), key("bob", { ...one, pins: ["MIG-0-0"] })]);
    expect(names(plan.assignment)).toEqual({ bob: "0:0" });
    expect(plan.refusals).toMatchObject([{ key: "workspace/alice", refusal: { code: "busy" } }]);
    expect(plan.waits).toMatchObject([{ key: "workspace/bob", heldBy: "workspace/alice" }]);
  });

  it("gets another unit where one is free, and its container keeps the old one until it is gone", () => {
    const stack = handedOver(two());
    const plan = stack.up(key("alice"), key("bob", { ...one, pins: ["MIG-0-0"] }));
    expect(names(plan.assignment)).toEqual({ alice: "0:1", bob: "0:0" });
    expect(live(stack)).toEqual(["alice bound 0:0 dropped", "bob reserved 0:0", "alice reserved 0:1"]);
    stack.done(containerGone(stack.state, stack.ctx, "c-alice"));
    expect(live(stack)).toEqual(["bob reserved 0:0", "alice reserved 0:1"]);
    expect(stack.grant("bob")).not.toHaveProperty("reason");
  });

  it("gets it back when the other is not declared any more", () => {
    const stack = handedOver(single());
    expect(stack.up(key("alice")).kept).toEqual(["workspace/alice"]);
    expect(live(stack)).toEqual(["alice bound 0:0"]);
  });

  it("gets it back when the other moves away in the same up", () => {
    const stack = handedOver(new Stack(node(gpu(0, { mig: ["1g.10gb", "2g.20gb"] }))));
    const plan = stack.up(key("alice"), key("bob", { kind: "mig", count: 1, profile: "2g.20gb" }));
    expect(names(plan.assignment)).toEqual({ alice: "0:0", bob: "0:1" });
    expect(live(stack)).toEqual(["alice bound 0:0", "bob reserved 0:1"]);
  });

  it("gets its share back only where the memory is enough for both", () => {
    const stack = new Stack(node(gpu(0)));
    handedOver(stack, share(50_000));
    expect(stack.plan([key("alice", share(50_000)), key("bob", share(50_000))]).refusals).toMatchObject([
      { key: "workspace/alice" },
    ]);
    const fitting = handedOver(new Stack(node(gpu(0))), share(40_000));
    const plan = fitting.up(key("alice", share(40_000)), key("bob", share(40_000)));
    expect(plan).toMatchObject({ kept: ["workspace/alice", "workspace/bob"], waits: [] });
    expect(live(fitting)).toEqual(["alice bound 0", "bob reserved 0"]);
  });
});

describe("an ask that is changed and changed back", () => {
  const large: Ask = { kind: "mig", count: 1, profile: "2g.20gb" };

  it("goes back to the grant that the key's container has", () => {
    const stack = new Stack(node(gpu(0, { mig: ["1g.10gb", "2g.20gb"] })));
    stack.up(key("alice"));
    stack.start("alice");
    stack.up(key("alice", large));
    expect(live(stack)).toEqual(["alice bound 0:0 dropped", "alice reserved 0:1"]);
    const plan = stack.up(key("alice"));
    expect(plan.waits).toEqual([]);
    expect(live(stack)).toEqual(["alice bound 0:0"]);
    expect(stack.grant("alice")).toMatchObject({ id: "g1", ask: one });
    expect(stack.grant("alice")).not.toHaveProperty("reason");
    expect(applyDeclared(stack.state, stack.ctx, { declared: [key("alice")] })).toMatchObject({
      changes: [],
    });
  });
});

describe("shares beside what a dropped key's container still has", () => {
  it("wait only where the memory is not enough for both", () => {
    const stack = new Stack(node(gpu(0)));
    handedOver(stack, share(40_000));
    expect(stack.plan([key("bob", share(40_000))]).waits).toEqual([]);
    const full = handedOver(new Stack(node(gpu(0))), share(50_000));
    expect(full.plan([key("bob", share(50_000))]).waits).toMatchObject([
      { key: "workspace/bob", heldBy: "workspace/alice" },
    ]);
    expect(full.grant("bob")?.reason).toBe("waits for 0, which the container of grant g1 still has");
  });

  it("make nobody wait who runs beside it already", () => {
    const stack = new Stack(node(gpu(0)));
    stack.up(key("alice", share(40_000)), key("dave", share(20_000)));
    stack.start("alice");
    stack.start("dave");
    const plan = stack.up(key("bob", share(60_000)), key("dave", share(20_000)));
    expect(plan.waits.map((each) => each.key)).toEqual(["workspace/bob"]);
    expect(stack.grant("dave")).not.toHaveProperty("reason");
  });

  it("put nobody else in conflict, while two that run beyond the memory are", () => {
    const stack = new Stack(node(gpu(0)));
    const job = stack.done(
      reserve(stack.state, stack.ctx, { user: "carol", ask: share(20_000), purpose: "job" }),
    );
    handedOver(stack, share(40_000));
    stack.up(key("bob", share(60_000)));
    expect(stack.state.grants.get(job.id)).not.toHaveProperty("reason");
    expect(stack.grant("bob")?.reason).toMatch(/^waits for 0,/);
    // Found so, never granted: both containers run.
    const over = handedOver(new Stack(node(gpu(0))), share(50_000));
    const bob = over.grant("bob") as Grant;
    apply(over.state, [{ grant: { ...bob, state: "bound", container: "c-bob" }, event: "bound" }]);
    over.up();
    expect(h100MiB).toBeLessThan(100_000);
    expect([...over.state.grants.values()].map(({ reason }) => reason)).toEqual([
      "conflict: 0 is also held by g2",
      "conflict: 0 is also held by g1",
    ]);
  });
});
