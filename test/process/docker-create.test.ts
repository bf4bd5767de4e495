/**
 * Creating with a grant, and removal, over a dockerd that works. Proves: what is done, in which order; a creation that is
 * refused creates nothing; no GPU is given twice; removal touches only what berthd made, and frees no GPU too early.
 * A dockerd that fails: docker-create-failing.test.ts. A berthd that is cut off: docker-create-cut-off.test.ts.
 */
import { describe, expect, it } from "vitest";
import type { EffectiveLimits } from "../../core/gpu";
import { IMAGE, MIG0, MIG1 } from "../unit/agent/containers/rig";
import { agrees, by, create, journal, rig, settle } from "./docker-create-helpers";

/** The ledger grants only when `free` is called; `asked` is over when a creation waits for that. */
function waiting(): { asked: Promise<void>; free: () => void } {
  const { reserve } = rig.ledger;
  let free = () => {};
  const freed = new Promise<void>((resolve) => {
    free = resolve;
  });
  const asked = new Promise<void>((resolve) => {
    rig.ledger.reserve = async (request) => {
      resolve();
      await freed;
      return reserve(request);
    };
  });
  return { asked, free };
}

/** Other limits from now on. */
function limits(change: (now: EffectiveLimits) => EffectiveLimits | undefined): void {
  const { limitsOf } = rig.ledger;
  rig.ledger.limitsOf = (user) => {
    const now = limitsOf(user);
    return now && (change(now) as typeof now | undefined);
  };
}

describe("a creation", () => {
  it("reserves, creates, binds and starts, in this order", async () => {
    const seen: string[] = [];
    const { ledger } = rig;
    const made = rig.engine.create.bind(rig.engine);
    rig.engine.create = async (name, body) => {
      seen.push(...ledger.grants().map(({ state, units }) => `${state} ${units[0]?.uuid}`));
      return made(name, body);
    };
    const started = rig.engine.start.bind(rig.engine);
    rig.engine.start = async (id) => {
      seen.push(...ledger.grants().map(({ state, container }) => `${state} ${container === id}`));
      return started(id);
    };
    const result = await create({ name: "train", env: { A: "b" } });
    if (!result.ok) throw new Error(result.refusal.message);
    expect(seen).toEqual([`reserved ${MIG0}`, "bound true"]);
    expect(result.value).toMatchObject({
      name: "berth-test-alice.train",
      grant: { state: "bound", container: result.value.id, user: "alice" },
    });
    expect(result.value.grant?.purpose).toBe("container berth-test-alice.train");
    agrees();
  });

  it("asks dockerd for the image and the network once, and else only for create, start and inspect", async () => {
    const looked = new Promise<void>((resolve) => {
      rig.containers.onEvent(({ kind }) => kind === "looked" && resolve());
    });
    rig.containers.follow();
    await looked;
    const asked = async (more: object) => {
      rig.dockerd.calls.length = 0;
      expect(await create(more)).toMatchObject({ ok: true });
      return rig.dockerd.calls.sort();
    };
    const calls = ["GET /containers/ID/json", "POST /containers/ID/start", "POST /containers/create"];
    expect(await asked({})).toEqual([
      ...calls.slice(0, 1),
      `GET /images/${encodeURIComponent(IMAGE)}/json`,
      "GET /networks/berth-containers",
      ...calls.slice(1),
      "POST /networks/create",
    ]);
    expect([...rig.dockerd.networks]).toEqual([
      [
        "berth-containers",
        {
          "com.docker.network.bridge.enable_icc": "false",
          "com.docker.network.bridge.name": "berth-ct0",
        },
      ],
    ]);
    expect(await asked({})).toEqual(calls);
    expect(await asked({ gpus: undefined })).toEqual(calls);
    agrees();
  });

  it("needs no grant without GPUs", async () => {
    const result = await create({ gpus: undefined });
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
    [
      "a whole GPU, which a student may not have",
      { user: "sam", gpus: { kind: "gpu", count: 1 } },
      "not-allowed",
      /whole/,
    ],
  ];
  it.each(refusals)("refuses %s, and creates nothing", async (_, more, code, message) => {
    const result = await create(more);
    if (result.ok) throw new Error("created");
    expect(result.refusal.code).toBe(code);
    expect(result.refusal.message).toMatch(message);
    expect(rig.dockerd.calls).not.toContain("POST /containers/create");
    agrees();
  });

  it("gives no GPU where dockerd has no CDI, by no other way", async () => {
    rig.dockerd.cdi = false;
    expect(await create()).toMatchObject({ ok: false, refusal: { code: "impossible" } });
    expect(await create({ gpus: undefined })).toMatchObject({ ok: true });
    agrees();
  });

  it("counts the user's containers, those under way too", async () => {
    const results = await Promise.all(
      Array.from({ length: 5 }, () => create({ user: "sam", gpus: undefined })),
    );
    expect(results.filter(({ ok }) => ok)).toHaveLength(3);
    for (const result of results.filter(({ ok }) => !ok)) {
      expect(result).toMatchObject({
        refusal: { rule: "defaults.max_containers_per_user", code: "over-limit" },
      });
    }
    // With a GPU the ledger counts, and is told of the others.
    expect(await create({ user: "sam" })).toMatchObject({
      refusal: { rule: "defaults.max_containers_per_user" },
    });
    agrees();
  });

  it("counts a creation that waits for its GPUs", async () => {
    const { asked, free } = waiting();
    const first = create({ user: "sam", wait_seconds: 60 });
    await asked;
    const others = await Promise.all(
      Array.from({ length: 3 }, () => create({ user: "sam", gpus: undefined })),
    );
    expect(others.filter(({ ok }) => ok)).toHaveLength(2);
    expect(others.find(({ ok }) => !ok)).toMatchObject({
      refusal: {
        message: "sam has 3 of 3 containers, those to come included",
        rule: "defaults.max_containers_per_user",
      },
    });
    free();
    expect(await first).toMatchObject({ ok: true });
    expect(rig.dockerd.containers.size).toBe(3);
    agrees();
  });

  const meanwhile: [string, () => unknown, object][] = [
    [
      "the user has as many containers as may be",
      async () => {
        for (let i = 0; i < 3; i++) {
          const id = rig.dockerd.put({ Config: { Labels: { "berth.owner": "sam" } } });
          rig.dockerd.event("create", id);
        }
        await expect.poll(() => rig.containers.list("sam")).toHaveLength(3);
      },
      { code: "over-limit", rule: "defaults.max_containers_per_user" },
    ],
    ["the user has left", () => limits(() => undefined), { code: "unknown-user" }],
    [
      "a limit is lower",
      () => limits((now) => ({ ...now, memory: { value: 2 ** 20, rule: "users.sam" } })),
      { code: "bad-request", message: expect.stringContaining("1MiB") },
    ],
    ["Docker is down", () => rig.dockerd.stop(), { code: "closed" }],
  ];
  it.each(meanwhile)("gives the GPU back that came when %s", async (_, change, refusal) => {
    rig.containers.follow();
    const { asked, free } = waiting();
    const under = create({ user: "sam", wait_seconds: 60 });
    await asked;
    await change();
    free();
    expect(await under).toMatchObject({ ok: false, refusal });
    expect(rig.dockerd.calls).not.toContain("POST /containers/create");
    expect(rig.ledger.grants()).toEqual([]);
    expect(journal()).toEqual([]);
  });

  it("has the limits of when its GPU came", async () => {
    const { asked, free } = waiting();
    const under = create({ user: "sam", wait_seconds: 60 });
    await asked;
    limits((now) => ({ ...now, max_cpus: { value: 1, rule: "users.sam" } }));
    free();
    expect(await under).toMatchObject({ ok: true });
    const [made] = rig.dockerd.containers.values();
    expect(made?.body?.HostConfig.NanoCpus).toBe(1e9);
    agrees();
  });

  it("has no more CPUs than the node", async () => {
    rig.dockerd.cpus = 2;
    expect(await create()).toMatchObject({ ok: true });
    expect(await create({ cpus: 3 })).toMatchObject({
      refusal: { code: "impossible", message: "alice asks for 3 CPUs, and this node has 2" },
    });
    agrees();
  });

  it("gives each unit once, however many ask at a time", async () => {
    const results = await Promise.all(["alice", "bob", "sam", "sam"].map((user) => create({ user })));
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

describe("a creation whose caller goes", () => {
  /** Goes when that call was answered. */
  const goesAfter = (step: string, go: () => void) => {
    const part: object = step === "create" || step === "start" ? rig.engine : rig.ledger;
    const usual = Reflect.get(part, step) as (...args: unknown[]) => Promise<unknown>;
    const goes = (...args: unknown[]) => usual.apply(part, args).finally(go);
    Reflect.set(part, step, goes);
  };
  const points: [string, string, object][] = [
    ["reserve", "with a GPU", {}],
    ["create", "with a GPU", {}],
    ["start", "with a GPU", {}],
    ["bindOwn", "with a GPU", {}],
    ["create", "without", { gpus: undefined }],
    ["start", "without", { gpus: undefined }],
  ];
  it.each(points)("after %s, %s: nothing of it stays", async (step, _, more) => {
    const caller = new AbortController();
    goesAfter(step, () => caller.abort());
    expect(await create(more, caller.signal)).toMatchObject({
      ok: false,
      refusal: { message: "whoever asked for the container has gone, and nothing of it is left" },
    });
    expect(rig.dockerd.containers.size).toBe(0);
    expect(rig.ledger.grants()).toEqual([]);
    agrees();
  });
});

describe("removal", () => {
  it("stops, removes and frees", async () => {
    const result = await create();
    if (!result.ok) throw new Error(result.refusal.message);
    expect(await rig.creator.remove(result.value.name, by)).toEqual({
      ok: true,
      value: { id: result.value.id },
    });
    expect(rig.ledger.grants()).toEqual([]);
    expect(rig.dockerd.containers.size).toBe(0);
    expect(await rig.creator.remove(result.value.id, by)).toMatchObject({ refusal: { code: "not-found" } });
  });

  it("touches nothing that berthd did not make", async () => {
    const workspace = rig.dockerd.put({
      Name: "/ws",
      Config: { Labels: { "berth.owner": "alice", "berth.grant": "workspace/alice", "berth.creation": "" } },
    });
    expect(await rig.creator.remove("ws", by)).toMatchObject({ refusal: { code: "not-allowed" } });
    expect(rig.dockerd.containers.get(workspace)?.State.Running).toBe(true);
  });

  it("is done once for all who ask at a time", async () => {
    const result = await create();
    if (!result.ok) throw new Error(result.refusal.message);
    const { id, name } = result.value;
    rig.dockerd.mood("POST /containers/ID/stop", { kind: "slow", ms: 50 }, 1);
    const done = await Promise.all([id, name, id].map((one) => rig.creator.remove(one, by)));
    expect(done).toEqual([id, id, id].map((gone) => ({ ok: true, value: { id: gone } })));
    expect(rig.dockerd.calls.filter((call) => call === "POST /containers/ID/stop")).toHaveLength(1);
    expect(rig.dockerd.calls.filter((call) => call === "DELETE /containers/ID")).toHaveLength(1);
    agrees();
  });

  it.each([
    ["the beginning of an id", (id: string) => id.slice(0, 12)],
    ["a path", () => "../images/x"],
    ["nothing", () => ""],
  ])("asks dockerd for nothing but ids that are known: %s", async (_, text) => {
    const result = await create();
    if (!result.ok) throw new Error(result.refusal.message);
    rig.dockerd.calls.length = 0;
    expect(await rig.creator.remove(text(result.value.id), by)).toMatchObject({
      refusal: { code: "not-found" },
    });
    expect(rig.dockerd.calls).toEqual([]);
  });

  it("frees what the container had where it went and dockerd did not say so", async () => {
    const result = await create();
    if (!result.ok) throw new Error(result.refusal.message);
    rig.dockerd.mood("DELETE /containers/ID", { kind: "drop-after" }, 1);
    expect(await rig.creator.remove(result.value.id, by)).toMatchObject({ refusal: { code: "closed" } });
    await settle();
    expect(rig.ledger.grants()).toEqual([]);
    agrees();
  });

  it("frees nothing while a process lives on", async () => {
    const result = await create();
    if (!result.ok) throw new Error(result.refusal.message);
    const { id } = result.value;
    await rig.ledger.look(rig.containers);
    const { take } = rig.dockerd;
    rig.dockerd.take = (one) => {
      take.call(rig.dockerd, one);
      rig.dockerd.processes.add(one);
    };
    const removed = await rig.creator.remove(id, by);
    expect(removed).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(!removed.ok && removed.refusal.message).toContain("its GPUs stay taken until it ends");
    await rig.ledger.look(rig.containers);
    expect(rig.ledger.grants().map(({ state }) => state)).toEqual(["bound"]);
    rig.dockerd.processes.delete(id);
    await rig.ledger.look(rig.containers);
    expect(rig.ledger.grants()).toEqual([]);
  });
});
