/** A grant that a person asked for, and the container that it is used for: who may use it, when, and how it comes back. */
import { describe, expect, it } from "vitest";
import {
  bind,
  bindOwn,
  containerStarted,
  containerStopped,
  type Grant,
  release,
  releaseOf,
  tick,
  unbind,
  usableGrant,
} from "../../../../core/gpu";
import { inventory, Node, one } from "./ledger-node";

const RESERVED = 60_000;

function node(): { node: Node; grant: Grant } {
  const made = new Node();
  return { node: made, grant: made.reserve("alice") };
}
const own = (id: string, user = "alice") => ({ id, user, container: "c1" });

describe("a grant of one's own", () => {
  it("is bound to a container that is still to start, which nobody takes it from", () => {
    const { node: it, grant } = node();
    const { value, events } = it.done((state, ctx) => bindOwn(state, ctx, own(grant.id)));
    expect(events).toEqual(["bound"]);
    expect(value).toMatchObject({ state: "bound", container: "c1", awaitedUntil: it.now + RESERVED });
    expect(it.refused((state, ctx) => release(state, ctx, grant.id))).toContain(
      "conflict: grant g1 is in use",
    );
    expect(it.refused((state, ctx) => bindOwn(state, ctx, { ...own(grant.id), container: "c2" }))).toBe(
      "conflict: grant g1 is in use by container c1",
    );
    it.done((state, ctx) => containerStarted(state, ctx, { container: "c1" }));
    for (const field of ["awaitedUntil", "reservedUntil"])
      expect(it.state.grants.get(grant.id)).not.toHaveProperty(field);
  });

  it("that is held leaves the container that stopped", () => {
    const { node: it, grant } = node();
    it.done((state, ctx) => bind(state, ctx, { id: grant.id, token: grant.token, container: "c0" }));
    it.done((state, ctx) => containerStopped(state, ctx, "c0"));
    const { value } = it.done((state, ctx) => bindOwn(state, ctx, own(grant.id)));
    expect(value).toMatchObject({ state: "bound", container: "c1" });
    expect(value).not.toHaveProperty("heldUntil");
    expect(it.refused((state, ctx) => containerStarted(state, ctx, { container: "c0" }))).toContain(
      "not-found",
    );
    expect(
      it.refused((state, ctx) =>
        containerStarted(state, ctx, { container: "c0", grant: grant.id, token: grant.token }),
      ),
    ).toContain("conflict: grant g1 is of container c1");
  });

  it("is reserved again when its container never ran, until its old end, and for no other container", () => {
    const { node: it, grant } = node();
    it.done((state, ctx) => bindOwn(state, ctx, own(grant.id)));
    it.now += RESERVED / 2;
    const back = (container: string) =>
      it.done((state, ctx) => unbind(state, ctx, { id: grant.id, container }));
    expect(back("c2")).toMatchObject({ value: { state: "bound" }, events: [] });
    const { value, events } = back("c1");
    expect(events).toEqual(["unbound"]);
    expect(value).toEqual(grant);
    it.now += RESERVED / 2;
    it.done(tick);
    expect(it.state.grants.size).toBe(0);
  });

  it("that was held has no later end than its hold when its next container never ran", () => {
    const { node: it, grant } = node();
    it.done((state, ctx) => bind(state, ctx, { id: grant.id, token: grant.token, container: "c0" }));
    it.done((state, ctx) => containerStopped(state, ctx, "c0"));
    const { heldUntil } = it.state.grants.get(grant.id) ?? {};
    it.now = Number(heldUntil) - 1000;
    it.done((state, ctx) => bindOwn(state, ctx, own(grant.id)));
    it.now += 5000;
    const { value } = it.done((state, ctx) => unbind(state, ctx, { id: grant.id, container: "c1" }));
    expect(value).toMatchObject({ state: "reserved", reservedUntil: heldUntil });
  });

  it("that was asked for with a container is not released of one that another container has", () => {
    const { node: it, grant } = node();
    it.done((state, ctx) => bindOwn(state, ctx, own(grant.id)));
    for (const container of [undefined, "c2"]) {
      const of = { id: grant.id, ...(container === undefined ? {} : { container }) };
      expect(it.refused((state, ctx) => releaseOf(state, ctx, of, "failed"))).toBe(
        "conflict: grant g1 is of container c1",
      );
    }
    const ended = it.done((state, ctx) => releaseOf(state, ctx, own(grant.id), "failed"));
    expect(ended).toMatchObject({ value: { state: "released", reason: "failed" }, events: ["released"] });
    const unmade = it.reserve("alice");
    expect(it.done((state, ctx) => releaseOf(state, ctx, { id: unmade.id }, "failed")).events).toEqual([
      "released",
    ]);
    expect(it.refused((state, ctx) => releaseOf(state, ctx, { id: unmade.id }, "failed"))).toContain(
      "not-found",
    );
  });

  it("is refused to all others, when its time is over, when it is declared, and when its GPU is not there", () => {
    const { node: it, grant } = node();
    const refused = (id: string, user?: string) =>
      it.refused((state, ctx) => bindOwn(state, ctx, own(id, user)));
    expect(refused("g9")).toBe("not-found: alice has no live grant g9");
    expect(refused(grant.id, "bob")).toBe("not-found: bob has no live grant g1");
    const declared = it.reserve("alice", one, "workspace/alice");
    expect(refused(declared.id)).toContain(
      "not-allowed: grant g2 is declared by the stack as workspace/alice",
    );
    it.gpus({ source: "none", gpus: [] });
    expect(refused(grant.id)).toContain("conflict: grant g1 cannot be used: gpu lost");
    it.gpus(inventory);
    it.now += RESERVED;
    expect(refused(grant.id)).toBe("not-found: the time of grant g1 is over");
  });

  it("is not usable while nothing is granted, and is bound all the same where that came in between", () => {
    const { node: it, grant } = node();
    it.state.closed = "the GPUs cannot be read";
    expect(usableGrant(it.state, it.ctx, own(grant.id))).toMatchObject({
      ok: false,
      refusal: { code: "closed" },
    });
    expect(it.done((state, ctx) => bindOwn(state, ctx, own(grant.id))).value.state).toBe("bound");
  });
});
