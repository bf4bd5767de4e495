/**
 * Launching with a grant, against a dockerd that fails in every way, and cut off at every point. Proves: whatever
 * happens, in the end the ledger and Docker say the same, no GPU is given twice, and none stays taken for nothing.
 * Does not prove: that a real process dies there (test/e2e/agent-kill.test.ts does).
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DockerError, fault, faultPoints } from "../../agent/src/docker";
import type { Mood } from "../unit/agent/docker-dockerd";
import { IMAGE, MIG0, MIG1, Rig } from "../unit/agent/docker-rig";

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
});
afterEach(() => rig.close());

const by = { actor: "admin" };
const mig = { kind: "mig", count: 1 } as const;
const wish = (more: object = {}) => ({ user: "alice", image: IMAGE, gpus: mig, ...more });
const launch = (more: object = {}) => rig.launcher.launch(wish(more), by);
const journal = () => {
  const folder = join(rig.dockerd.folder, "launches");
  return existsSync(folder) ? readdirSync(folder) : [];
};

/** What berthd does at its start, and whenever Docker is back. */
async function settle(): Promise<void> {
  await rig.ledger.look(rig.containers);
  await rig.launcher.recover();
}

/** The ledger says what Docker says, and no unit is held twice. */
function agrees(): void {
  const running = [...rig.dockerd.containers.values()].filter(({ State }) => State.Running);
  const live = rig.ledger.grants();
  const units = live.flatMap((grant) => grant.units.map(({ uuid }) => uuid));
  expect(new Set(units).size).toBe(units.length);
  const bound = live.filter(({ state }) => state === "bound");
  const withGpus = running.filter(({ Config }) => Config?.Labels?.["berth.gpus"]);
  expect(bound.map(({ container }) => container).sort()).toEqual(withGpus.map(({ Id }) => Id).sort());
  for (const grant of bound) {
    const container = rig.dockerd.containers.get(grant.container ?? "");
    expect(container?.HostConfig.DeviceRequests?.[0]?.DeviceIDs).toEqual(
      grant.units.map(({ uuid }) => `nvidia.com/gpu=${uuid}`),
    );
    expect(container?.Config?.Labels?.["berth.grant-token"]).toBe(String(grant.token));
  }
  const dangling = live.filter(({ state }) => state === "reserved");
  expect(dangling).toEqual([]);
  expect([...rig.dockerd.containers.values()].filter(({ State }) => State.Status === "created")).toEqual([]);
  expect(journal()).toEqual([]);
}

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

describe("a launch that fails half-way", () => {
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
    const result = await launch();
    if (result.ok) throw new Error("launched");
    expect(result.refusal.message).toMatch(message);
    expect(result.refusal.code).toBe(code);
    expect(rig.dockerd.containers.size).toBe(0);
    agrees();
    expect(await launch()).toMatchObject({ ok: true });
    agrees();
  });

  it("says how to mend a port, a name and a device", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "status", status: 500, message: told }, 1);
    expect(await launch()).toMatchObject({ refusal: { fix: "publish it on another port" } });
    await launch({ name: "one" });
    const twice = await launch({ name: "one" });
    expect(twice).toMatchObject({
      refusal: { code: "conflict", fix: "choose another name, or remove that container" },
    });
    rig.dockerd.devices = new Set();
    const device = await launch({ user: "bob" });
    expect(device).toMatchObject({
      refusal: { fix: expect.stringContaining("the node's CDI devices do not have") },
    });
    // The one that was there with that name is left alone.
    expect([...rig.dockerd.containers.values()].map(({ Name }) => Name)).toEqual(["/berth-test-alice-one"]);
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
    const result = await launch();
    expect(result).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(!result.ok && result.refusal.message).toMatch(
      /hang up.*and what is left of it: .*device or resource busy/,
    );
    expect(rig.ledger.grants()).toHaveLength(1);
    expect(journal()).toHaveLength(1);
    await expect(rig.launcher.recover()).rejects.toThrow("device or resource busy");
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
    rig.containers.start();
    rig.engine.create = async () => {
      await rig.dockerd.stop();
      throw new DockerError("the connection ended", "unknown");
    };
    expect(await launch()).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(rig.ledger.grants()).toHaveLength(1);
    await rig.dockerd.start();
    await expect.poll(() => rig.ledger.grants(), { timeout: 5000 }).toEqual([]);
    agrees();
  });

  it("takes the container away when its grant is over before it is bound", async () => {
    const start = rig.engine.start.bind(rig.engine);
    rig.engine.start = async (id) => {
      await start(id);
      for (const { id: grant } of rig.ledger.grants()) await rig.ledger.release(grant, "expired", true);
    };
    const result = await launch();
    expect(result).toMatchObject({ ok: false, refusal: { code: "not-found" } });
    expect(rig.dockerd.containers.size).toBe(0);
    agrees();
  });

  it.each([900, null, 0])(
    "knows the end of a container that ended before it was bound (hold %s)",
    async (hold) => {
      rig.ledger.hold = hold;
      rig.ledger.follow(rig.containers);
      const start = rig.engine.start.bind(rig.engine);
      rig.engine.start = async (id) => {
        await start(id);
        await rig.containers.tell(id);
        rig.dockerd.end(id);
        await rig.containers.tell(id);
      };
      const result = await launch();
      expect(result).toMatchObject({ ok: true });
      await expect
        .poll(() => rig.ledger.grants().map(({ state }) => state))
        .toEqual(hold === 0 ? [] : ["held"]);
      agrees();
    },
  );
});

describe("a berthd that is cut off", () => {
  const never = () => new Promise<never>(() => {});
  const points: [string, () => void, "bound" | "free"][] = [
    ["before reserve", () => Object.assign(rig.ledger, { reserve: never }), "free"],
    [
      "after reserve",
      () => {
        const { reserve } = rig.ledger;
        Object.assign(rig.ledger, { reserve: (request: never) => reserve(request).then(never) });
      },
      "free",
    ],
    ["before create", () => rig.dockerd.mood("POST /containers/create", { kind: "hang" }), "free"],
    ["after create", () => rig.dockerd.mood("POST /containers/create", { kind: "deaf" }), "free"],
    ["before start", () => rig.dockerd.mood("POST /containers/ID/start", { kind: "hang" }), "free"],
    ["after start", () => rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" }), "bound"],
    ["before bind", () => Object.assign(rig.ledger, { bind: never }), "bound"],
    [
      "after bind",
      () => {
        const { bind } = rig.ledger;
        Object.assign(rig.ledger, { bind: (request: never) => bind(request).then(never) });
      },
      "bound",
    ],
  ];
  const reached = async (point: string) => {
    const [when, what] = point.split(" ");
    const called = { create: "POST /containers/create", start: "POST /containers/ID/start" }[what ?? ""];
    await expect
      .poll(() => {
        if (called !== undefined) return rig.dockerd.calls.includes(called);
        if (what === "bind") {
          const bound = rig.ledger.grants().some(({ state }) => state === "bound");
          return (
            [...rig.dockerd.containers.values()].some(({ State }) => State.Running) &&
            bound === (when === "after")
          );
        }
        return journal().length === 1 && rig.ledger.grants().length === (when === "after" ? 1 : 0);
      })
      .toBe(true);
  };

  it.each(points)("%s: the next one makes ledger and Docker agree", async (point, cut, then) => {
    const { bind, reserve } = rig.ledger;
    await rig.restart({ create: 60_000, start: 60_000 });
    cut();
    void launch().catch(() => {});
    await reached(point);
    rig.dockerd.calm();
    Object.assign(rig.ledger, { bind, reserve });
    await rig.restart();
    await settle();
    agrees();
    expect(rig.ledger.grants().map(({ state }) => state)).toEqual(then === "bound" ? ["bound"] : []);
    // A second time changes nothing, and both slices can be had now, less the one that runs.
    await settle();
    agrees();
    const more = await Promise.all([launch({ user: "bob" }), launch({ user: "bob" })]);
    expect(more.filter(({ ok }) => ok)).toHaveLength(then === "bound" ? 1 : 2);
    agrees();
  });

  it("binds one that ended while nobody looked, and then holds it", async () => {
    await rig.restart({ start: 60_000 });
    rig.ledger.follow(rig.containers);
    rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" });
    void launch().catch(() => {});
    await reached("after start");
    await expect
      .poll(() => [...rig.dockerd.containers.values()].some(({ State }) => State.Running))
      .toBe(true);
    const [id = ""] = rig.dockerd.containers.keys();
    rig.dockerd.end(id);
    await rig.restart();
    rig.ledger.follow(rig.containers);
    await settle();
    await expect.poll(() => rig.ledger.grants().map(({ state }) => state)).toEqual(["held"]);
    agrees();
  });

  it("removes what dockerd finished creating after everybody had given up", async () => {
    const id = rig.dockerd.put({
      State: { Status: "created" },
      Config: {
        Labels: {
          "berth.owner": "alice",
          "berth.launch": "00",
          "berth.grant": "g9",
          "berth.grant-token": "9",
        },
      },
    });
    const declared = rig.dockerd.put({
      State: { Status: "created" },
      Config: { Labels: { "berth.owner": "alice", "berth.grant": "workspace/alice" } },
    });
    await settle();
    expect([...rig.dockerd.containers.keys()]).toEqual([declared]);
    expect(rig.dockerd.containers.has(id)).toBe(false);
  });

  it("leaves a launch that is under way alone", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "slow", ms: 200 }, 1);
    const under = launch();
    await expect.poll(() => rig.dockerd.containers.size).toBe(1);
    await settle();
    expect(await under).toMatchObject({ ok: true });
    agrees();
  });

  it("takes a damaged note away, and says so", async () => {
    const folder = join(rig.dockerd.folder, "launches");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "0011223344556677.json"), '{"launch": "00112');
    writeFileSync(join(folder, "1111223344556677.json.new"), "{");
    writeFileSync(
      join(folder, "2211223344556677.json"),
      '{"launch":"x","user":"a","name":"b","purpose":"c"}',
    );
    await settle();
    expect(journal()).toEqual([]);
    expect(rig.lines.filter(({ level }) => level === "warn")).toHaveLength(2);
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
      arbitrary: fc.record({ do: fc.constant("launch"), user: fc.constantFrom("alice", "bob", "sam") }),
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
        const outer = rig;
        rig = new Rig();
        rig.ledger.hold = 0;
        await rig.start();
        try {
          const pending: Promise<unknown>[] = [];
          for (const one of steps) {
            const [first] = rig.dockerd.containers.keys();
            if (one.do === "launch" && "user" in one) pending.push(launch({ user: one.user }));
            else if (one.do === "fault" && "at" in one) rig.dockerd.mood(one.at, one.mood, one.times);
            else if (one.do === "remove" && first !== undefined) pending.push(rig.launcher.remove(first, by));
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
          rig = outer;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("fault points", () => {
  it("do nothing unless both variables are set", () => {
    for (const allowed of [undefined, "0", ""]) {
      for (const point of faultPoints) {
        process.env.BERTH_FAULT = point;
        if (allowed !== undefined) process.env.BERTH_FAULTS_ALLOWED = allowed;
        fault(point);
      }
    }
    delete process.env.BERTH_FAULT;
    delete process.env.BERTH_FAULTS_ALLOWED;
  });
});
