/**
 * Launching with a grant, and removal, over a dockerd that works. Proves: what is done, in which order; a launch that is
 * refused creates nothing; no GPU is given twice; removal touches only what berthd made, and frees no GPU too early.
 * A dockerd that fails: docker-launch-failing.test.ts. A berthd that is cut off: docker-launch-cut-off.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MIG0, MIG1, Rig } from "../unit/agent/docker-rig";
import { by, launching } from "./docker-launch-helpers";

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
});
afterEach(() => rig.close());

const { launch, agrees } = launching(() => rig);

describe("a launch", () => {
  it("reserves, creates, starts and binds, in this order", async () => {
    const seen: string[] = [];
    const { ledger } = rig;
    const create = rig.engine.create.bind(rig.engine);
    rig.engine.create = async (name, body) => {
      seen.push(...ledger.grants().map(({ state, units }) => `${state} ${units[0]?.uuid}`));
      return create(name, body);
    };
    const result = await launch({ name: "train", env: { A: "b" } });
    if (!result.ok) throw new Error(result.refusal.message);
    expect(seen).toEqual([`reserved ${MIG0}`]);
    expect(result.value).toMatchObject({
      name: "berth-test-alice-train",
      grant: { state: "bound", container: result.value.id, user: "alice" },
    });
    expect(result.value.grant?.purpose).toMatch(/^container berth-test-alice-train, launch [0-9a-f]{16}$/);
    agrees();
  });

  it("needs no grant without GPUs", async () => {
    const result = await launch({ gpus: undefined });
    expect(result).toMatchObject({ ok: true });
    expect(result.ok && result.value.grant).toBeUndefined();
    expect(rig.ledger.grants()).toEqual([]);
    agrees();
  });

  const refusals: [string, object, string, RegExp][] = [
    ["an unknown user", { user: "eve" }, "unknown-user", /eve is not a user of this node/],
    [
      "an image that is not there",
      { image: `sha256:${"00".repeat(32)}` },
      "not-found",
      /is not on this node/,
    ],
    ["more than a limit", { memory: "99GiB" }, "over-limit", /defaults.memory allows 8GiB/],
    [
      "a profile that nobody has",
      { gpus: { kind: "mig", count: 1, profile: "7g.80gb" } },
      "unknown-profile",
      /7g.80gb/,
    ],
    ["what is not on the list", { privileged: true }, "bad-request", /privileged: not allowed/],
    [
      "a whole GPU, which a student may not have",
      { user: "sam", gpus: { kind: "gpu", count: 1 } },
      "not-allowed",
      /whole/,
    ],
  ];
  it.each(refusals)("refuses %s, and creates nothing", async (_, more, code, message) => {
    const result = await launch(more);
    if (result.ok) throw new Error("launched");
    expect(result.refusal.code).toBe(code);
    expect(result.refusal.message).toMatch(message);
    expect(rig.dockerd.calls).not.toContain("POST /containers/create");
    agrees();
  });

  it("gives no GPU where dockerd has no CDI, by no other way", async () => {
    rig.dockerd.cdi = false;
    expect(await launch()).toMatchObject({ ok: false, refusal: { code: "impossible" } });
    expect(await launch({ gpus: undefined })).toMatchObject({ ok: true });
    agrees();
  });

  it("counts the user's containers, those under way too", async () => {
    const results = await Promise.all(
      Array.from({ length: 5 }, () => launch({ user: "sam", gpus: undefined })),
    );
    expect(results.filter(({ ok }) => ok)).toHaveLength(3);
    for (const result of results.filter(({ ok }) => !ok)) {
      expect(result).toMatchObject({
        refusal: { rule: "defaults.max_containers_per_user", code: "over-limit" },
      });
    }
    // With a GPU the ledger counts, and is told of the others.
    expect(await launch({ user: "sam" })).toMatchObject({
      refusal: { rule: "defaults.max_containers_per_user" },
    });
    agrees();
  });

  it("gives each unit once, however many ask at a time", async () => {
    const results = await Promise.all(["alice", "bob", "sam", "sam"].map((user) => launch({ user })));
    expect(results.filter(({ ok }) => ok)).toHaveLength(2);
    expect(
      rig.ledger
        .grants()
        .flatMap(({ units }) => units.map(({ uuid }) => uuid))
        .sort(),
    ).toEqual([MIG0, MIG1]);
    agrees();
  });
});

describe("removal", () => {
  it("stops, removes and frees", async () => {
    const result = await launch();
    if (!result.ok) throw new Error(result.refusal.message);
    expect(await rig.launcher.remove(result.value.name, by)).toEqual({
      ok: true,
      value: { id: result.value.id },
    });
    expect(rig.ledger.grants()).toEqual([]);
    expect(rig.dockerd.containers.size).toBe(0);
    expect(await rig.launcher.remove(result.value.id, by)).toMatchObject({ refusal: { code: "not-found" } });
  });

  it("touches nothing that berthd did not make", async () => {
    const workspace = rig.dockerd.put({
      Name: "/ws",
      Config: { Labels: { "berth.owner": "alice", "berth.grant": "workspace/alice", "berth.launch": "" } },
    });
    expect(await rig.launcher.remove("ws", by)).toMatchObject({ refusal: { code: "not-allowed" } });
    expect(rig.dockerd.containers.get(workspace)?.State.Running).toBe(true);
  });

  it("frees nothing while a process lives on", async () => {
    const result = await launch();
    if (!result.ok) throw new Error(result.refusal.message);
    const { id } = result.value;
    await rig.ledger.look(rig.containers);
    const { take } = rig.dockerd;
    rig.dockerd.take = (one) => {
      take.call(rig.dockerd, one);
      rig.dockerd.processes.add(one);
    };
    const removed = await rig.launcher.remove(id, by);
    expect(removed).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(!removed.ok && removed.refusal.message).toContain("its GPUs stay taken until it ends");
    await rig.ledger.look(rig.containers);
    expect(rig.ledger.grants().map(({ state }) => state)).toEqual(["bound"]);
    rig.dockerd.processes.delete(id);
    await rig.ledger.look(rig.containers);
    expect(rig.ledger.grants()).toEqual([]);
  });
});
