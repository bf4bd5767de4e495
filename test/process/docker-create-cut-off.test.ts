/**
 * Creating with a grant, cut off at every point. Proves: the next berthd makes the ledger and Docker say the same, no
 * GPU is given twice, and none stays taken for nothing; fault points do nothing unless they are asked for.
 * Does not prove: that a real process dies there (test/e2e/nodes/agent-kill-cases.ts does).
 */
import { describe, expect, it } from "vitest";
import { fault, faultPoints } from "../../agent/src/operations";
import { until } from "../lib/until";
import { agrees, create, journal, rig, settle } from "./docker-create-helpers";

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
    ["before bind", () => Object.assign(rig.ledger, { bindOwn: never }), "free"],
    [
      "after bind",
      () => {
        const { bindOwn } = rig.ledger;
        Object.assign(rig.ledger, { bindOwn: (request: never) => bindOwn(request).then(never) });
      },
      "free",
    ],
  ];
  const reached = async (point: string) => {
    const [when, what] = point.split(" ");
    const called = { create: "POST /containers/create", start: "POST /containers/ID/start" }[what ?? ""];
    await until("that point", 30_000, () => {
      if (called !== undefined) return rig.dockerd.calls.includes(called);
      if (what === "bind") {
        const bound = rig.ledger.grants().some(({ state }) => state === "bound");
        return rig.dockerd.containers.size === 1 && bound === (when === "after");
      }
      return journal().length === 1 && rig.ledger.grants().length === (when === "after" ? 1 : 0);
    });
  };

  it.each(points)("%s: the next one makes ledger and Docker agree", async (point, cut, then) => {
    const { bindOwn, reserve } = rig.ledger;
    await rig.restart({ create: 60_000, start: 60_000 });
    cut();
    void create().catch(() => {});
    await reached(point);
    rig.dockerd.calm();
    Object.assign(rig.ledger, { bindOwn, reserve });
    await rig.restart();
    await settle();
    agrees();
    expect(rig.ledger.grants().map(({ state }) => state)).toEqual(then === "bound" ? ["bound"] : []);
    // A second time changes nothing, and both slices can be had now, less the one that runs.
    await settle();
    agrees();
    const more = await Promise.all([create({ user: "bob" }), create({ user: "bob" })]);
    expect(more.filter(({ ok }) => ok)).toHaveLength(then === "bound" ? 1 : 2);
    agrees();
  });

  it("binds one that ended while nobody looked, and then holds it", async () => {
    await rig.restart({ start: 60_000 });
    rig.ledger.follow(rig.containers);
    rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" });
    void create().catch(() => {});
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

  it("gives back the grant of a container that was taken away already, once no process of it is left", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "status", status: 500, message: "no" }, 1);
    rig.dockerd.mood("GET /containers/ID/json", { kind: "drop-after" }, 1);
    expect(await create()).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(rig.dockerd.containers.size).toBe(0);
    const [grant] = rig.ledger.grants();
    rig.dockerd.processes.add(grant?.container ?? "");
    await expect(rig.creator.recover()).rejects.toThrow("its GPUs stay taken until it ends");
    expect(rig.ledger.grants()).toMatchObject([{ state: "bound" }]);
    rig.dockerd.processes.clear();
    await settle();
    expect(rig.ledger.grants()).toEqual([]);
    agrees();
  });

  it("removes what dockerd finished creating after everybody had given up", async () => {
    const id = rig.dockerd.put({
      State: { Status: "created" },
      Config: {
        Labels: {
          "berth.owner": "alice",
          "berth.component": "container",
          "berth.creation": "00",
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

  it("waits with what is half-done until the ledger is open: a container that runs is not taken for one whose GPU is lost", async () => {
    await rig.restart({ start: 60_000 });
    rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" }, 1);
    void create().catch(() => {});
    await expect
      .poll(() => [...rig.dockerd.containers.values()].some(({ State }) => State.Running))
      .toBe(true);
    // As an older version left it, which bound what ran already.
    const [grant] = rig.ledger.grants();
    if (grant === undefined) throw new Error("granted");
    await rig.ledger.unbind({ id: grant.id, container: grant.container ?? "" });
    const { inventory } = rig.ledger.state;
    Object.assign(rig.ledger.state, { inventory: { source: "none", gpus: [] } });
    rig.ledger.why = "the GPUs have not been read yet";
    await rig.restart();
    await rig.creator.recover();
    expect(rig.dockerd.containers.size).toBe(1);
    expect(journal()).toHaveLength(1);
    Object.assign(rig.ledger.state, { inventory });
    rig.ledger.why = undefined;
    await settle();
    expect(rig.ledger.grants()).toMatchObject([{ state: "bound" }]);
    agrees();
  });

  it("leaves a creation that is under way alone", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "slow", ms: 200 }, 1);
    const under = create();
    await expect.poll(() => rig.dockerd.containers.size).toBe(1);
    await settle();
    expect(await under).toMatchObject({ ok: true });
    agrees();
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
