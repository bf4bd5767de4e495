/**
 * Creating with a grant, against a dockerd that fails in every way. Proves: nothing of a creation that failed stays, and
 * the reason is told; whatever happens, in the end the ledger and Docker say the same, no GPU is given twice, and none
 * stays taken for nothing.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DockerError } from "../../agent/src/docker";
import type { Mood } from "../fakes/dockerd";
import { Rig } from "../unit/agent/containers/rig";
import { agrees, by, create, journal, rig, settle, useRig } from "./docker-create-helpers";

describe("a creation that fails half-way", () => {
  const told =
    "driver failed programming external connectivity: Bind for 127.0.0.1:20000 failed: port is already allocated";
  const cases: [string, string, Mood, string, RegExp][] = [
    [
      "create is refused",
      "POST /containers/create",
      { kind: "status", status: 400, message: "no" },
      "bad-request",
      /no$/,
    ],
    [
      "the image went meanwhile",
      "POST /containers/create",
      { kind: "status", status: 404, message: "No such image" },
      "not-found",
      /No such image/,
    ],
    ["create does not get there", "POST /containers/create", { kind: "drop" }, "closed", /cannot be reached/],
    [
      "create is done, and nobody says so",
      "POST /containers/create",
      { kind: "drop-after" },
      "closed",
      /hang up/,
    ],
    [
      "create is done, and dockerd hangs",
      "POST /containers/create",
      { kind: "deaf" },
      "closed",
      /gave no answer/,
    ],
    ["create hangs", "POST /containers/create", { kind: "hang" }, "closed", /gave no answer/],
    [
      "create answers nonsense",
      "POST /containers/create",
      { kind: "garbage", text: "{}" },
      "conflict",
      /expected status|HTTP 200/,
    ],
    [
      "the port is taken",
      "POST /containers/ID/start",
      { kind: "status", status: 500, message: told },
      "conflict",
      /port is already allocated/,
    ],
    [
      "start does not get there",
      "POST /containers/ID/start",
      { kind: "drop" },
      "closed",
      /cannot be reached/,
    ],
    [
      "start is done, and nobody says so",
      "POST /containers/ID/start",
      { kind: "drop-after" },
      "closed",
      /hang up/,
    ],
    [
      "start is done, and dockerd hangs",
      "POST /containers/ID/start",
      { kind: "deaf" },
      "closed",
      /gave no answer/,
    ],
  ];
  it.each(cases)("%s: nothing of it stays, and the reason is told", async (_, at, mood, code, message) => {
    rig.dockerd.mood(at, mood, 1);
    const result = await create();
    if (result.ok) throw new Error("created");
    expect(result.refusal.message).toMatch(message);
    expect(result.refusal.code).toBe(code);
    expect(rig.dockerd.containers.size).toBe(0);
    agrees();
    expect(await create()).toMatchObject({ ok: true });
    agrees();
  });

  it("says how to mend a port, a name and a device", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "status", status: 500, message: told }, 1);
    expect(await create()).toMatchObject({ refusal: { fix: "publish it on another port" } });
    await create({ name: "one" });
    const twice = await create({ name: "one" });
    expect(twice).toMatchObject({
      refusal: {
        code: "conflict",
        message: "another container on this node has that name",
        fix: "choose another name, or remove that container",
      },
    });
    rig.dockerd.devices = new Set();
    const device = await create({ user: "bob" });
    expect(device).toMatchObject({
      refusal: { fix: expect.stringContaining("the node's CDI devices do not have") },
    });
    // The one that was there with that name is left alone.
    expect([...rig.dockerd.containers.values()].map(({ Name }) => Name)).toEqual(["/berth-test-alice.one"]);
    agrees();
  });

  it("keeps the GPU while Docker cannot say what became of the container", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "drop-after" }, 1);
    rig.dockerd.mood("DELETE", { kind: "status", status: 500, message: "device or resource busy" });
    rig.dockerd.mood("DELETE /containers/ID", {
      kind: "status",
      status: 500,
      message: "device or resource busy",
    });
    const result = await create();
    expect(result).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(!result.ok && result.refusal.message).toMatch(
      /hang up.*and what is left of it: .*device or resource busy/,
    );
    expect(rig.ledger.grants()).toHaveLength(1);
    expect(journal()).toHaveLength(1);
    await expect(rig.creator.recover()).rejects.toThrow("device or resource busy");
    expect(rig.ledger.grants()).toHaveLength(1);
    rig.dockerd.calm();
    // It was told to have failed: it is taken back, though it runs.
    await settle();
    expect(rig.dockerd.containers.size).toBe(0);
    expect(rig.ledger.grants()).toEqual([]);
    agrees();
  });

  it("goes on by itself when Docker is back", async () => {
    rig.ledger.follow(rig.containers);
    rig.containers.follow();
    rig.engine.create = async () => {
      await rig.dockerd.stop();
      throw new DockerError("the connection ended", "unknown");
    };
    expect(await create()).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(rig.ledger.grants()).toHaveLength(1);
    await rig.dockerd.start();
    await expect.poll(() => rig.ledger.grants(), { timeout: 5000 }).toEqual([]);
    agrees();
  });

  it("takes the container away when its grant is over before it is bound", async () => {
    const made = rig.engine.create.bind(rig.engine);
    rig.engine.create = async (...args) => {
      const id = await made(...args);
      for (const { id: grant } of rig.ledger.grants()) await rig.ledger.release(grant, "expired");
      return id;
    };
    const result = await create();
    expect(result).toMatchObject({ ok: false, refusal: { code: "not-found" } });
    expect(rig.dockerd.calls).not.toContain("POST /containers/ID/start");
    expect(rig.dockerd.containers.size).toBe(0);
    agrees();
  });

  it("gives no container to a network in which they reach each other", async () => {
    rig.dockerd.networks.set("berth-containers", {});
    expect(await create()).toMatchObject({
      ok: false,
      refusal: { code: "conflict", message: expect.stringContaining("docker network rm berth-containers") },
    });
    expect(rig.dockerd.containers.size).toBe(0);
    agrees();
  });

  it.each([900, null, 0])("knows the end of a container that ended at once (hold %s)", async (hold) => {
    rig.ledger.hold = hold;
    rig.ledger.follow(rig.containers);
    const start = rig.engine.start.bind(rig.engine);
    rig.engine.start = async (id) => {
      await start(id);
      await rig.containers.tell(id);
      rig.dockerd.end(id);
      await rig.containers.tell(id);
    };
    const result = await create();
    expect(result).toMatchObject({ ok: true });
    await expect
      .poll(() => rig.ledger.grants().map(({ state }) => state))
      .toEqual(hold === 0 ? [] : ["held"]);
    agrees();
  });
});

describe("any history", () => {
  const mood = fc.oneof(
    fc.constant<Mood>({ kind: "drop" }),
    fc.constant<Mood>({ kind: "drop-after" }),
    fc.constant<Mood>({ kind: "status", status: 500, message: "no" }),
    fc.constant<Mood>({ kind: "slow", ms: 5 }),
  );
  const call = fc.constantFrom(
    "POST /containers/create",
    "POST /containers/ID/start",
    "POST /containers/ID/stop",
    "DELETE /containers/ID",
    "GET /containers/ID/json",
    "GET /containers/json",
    "GET /info",
  );
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("create"), user: fc.constantFrom("alice", "bob", "sam") }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("remove") }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("end") }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart") }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("fault"),
        at: call,
        mood,
        times: fc.integer({ min: 1, max: 2 }),
      }),
    },
  );

  it("ends with a ledger that agrees with Docker", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        const outer = useRig(new Rig());
        rig.ledger.hold = 0;
        await rig.start();
        try {
          const pending: Promise<unknown>[] = [];
          for (const one of steps) {
            const [first] = rig.dockerd.containers.keys();
            if (one.do === "create" && "user" in one) pending.push(create({ user: one.user }));
            else if (one.do === "fault" && "at" in one) rig.dockerd.mood(one.at, one.mood, one.times);
            else if (one.do === "remove" && first !== undefined) pending.push(rig.creator.remove(first, by));
            else if (one.do === "end" && first !== undefined) {
              if (rig.dockerd.containers.get(first)?.State.Running) rig.dockerd.end(first);
            } else if (one.do === "restart") {
              await Promise.allSettled(pending.splice(0));
              await rig.restart();
            }
            await new Promise((resolve) => setImmediate(resolve));
          }
          await Promise.allSettled(pending);
          rig.dockerd.calm();
          await settle();
          agrees();
        } finally {
          await rig.close();
          useRig(outer);
        }
      }),
      { numRuns: 60 },
    );
  });
});
