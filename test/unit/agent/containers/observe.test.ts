/**
 * What is seen of the containers. Proves: every container that has GPUs is seen, also a stranger's; what Docker says
 * and what the kernel knows are told apart (ghosts, processes that outlive their container); nothing is missed or told
 * twice over interruptions; a dockerd that cannot be read is told as such.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { procProcesses } from "../../../../agent/src/containers";
import type { ContainerEvent } from "../../../../agent/src/service/ports";
import { until } from "../../../lib/until";
import { GPU0, MIG0, MIG1, Rig } from "./rig";

let rig: Rig;
let told: Exclude<ContainerEvent, { kind: "looked" }>[];
beforeEach(async () => {
  rig = new Rig();
  told = [];
  await rig.start();
});
afterEach(() => rig.close());

const labels = (more: Record<string, string> = {}) => ({
  Labels: {
    "berth.owner": "alice",
    "berth.grant": "g1",
    "berth.grant-token": "7",
    "berth.gpus": MIG0,
    ...more,
  },
});
const cdi = (...units: string[]) => ({
  DeviceRequests: [{ Driver: "cdi", DeviceIDs: units.map((unit) => `nvidia.com/gpu=${unit}`) }],
});
/** Follows the events, from the moment that the stream is open. */
async function follow(): Promise<void> {
  let looked = false;
  rig.containers.onEvent((event) => {
    // The end of an earlier look may be told only now: the stream opens with a doubt.
    if (event.kind !== "looked") told.push(event);
    else if (told.length > 0) looked = true;
  });
  rig.containers.follow();
  await until("the look that follows the opening of the stream", 30_000, () => looked);
  told.length = 0;
}
const kinds = () => told.map((event) => event.kind);
const seenIds = async () => (await rig.containers.listLive()).map(({ container }) => container);

describe("a whole look", () => {
  it("sees ours by label and by device, strangers by device, and leaves the others out", async () => {
    const ours = rig.dockerd.put({ Name: "/ours", Config: labels(), HostConfig: cdi(MIG0) });
    // Its label says one unit, its devices another: both are taken.
    const odd = rig.dockerd.put({
      Name: "/odd",
      Config: labels({ "berth.grant": "" }),
      HostConfig: cdi(MIG1),
    });
    const stranger = rig.dockerd.put({ Name: "/stranger", HostConfig: cdi("all") });
    const declared = rig.dockerd.put({
      Name: "/ws",
      Config: { Labels: { "berth.owner": "bob", "berth.grant": "workspace/bob" } },
      State: { Status: "exited" },
    });
    rig.dockerd.put({ Name: "/web" });
    rig.dockerd.put({
      Name: "/registry",
      Config: { Labels: { "berth.owner": "system", "berth.stack": "s" } },
    });
    expect(await rig.containers.listLive()).toEqual([
      { container: ours, name: "ours", user: "alice", units: [MIG0], grant: "g1", token: 7, running: true },
      { container: odd, name: "odd", user: "alice", units: [MIG0, MIG1], token: 7, running: true },
      { container: stranger, name: "stranger", user: "(foreign)", units: [GPU0, MIG0, MIG1], running: true },
      { container: declared, name: "ws", user: "bob", units: [], grant: "workspace/bob", running: false },
    ]);
  });

  it("leaves out what never ran, and what strangers have stopped", async () => {
    rig.dockerd.put({ Config: labels(), State: { Status: "created" } });
    rig.dockerd.put({ HostConfig: cdi(MIG0), State: { Status: "exited" } });
    const paused = rig.dockerd.put({ Config: labels(), State: { Status: "paused" } });
    expect(await seenIds()).toEqual([paused]);
  });

  it("tells what Docker could not start for its devices, where it should run", async () => {
    const why = 'could not select device driver "cdi" with capabilities: []';
    const put = (Name: string, policy: string, said: string, Status = "exited") =>
      rig.dockerd.put({
        Name,
        Config: labels(),
        HostConfig: { ...cdi(MIG0), RestartPolicy: { Name: policy } },
        State: { Status, Error: said },
      });
    put("/held", "unless-stopped", why);
    put("/unresolved", "always", "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=x");
    put("/stopped", "unless-stopped", "");
    put("/broken", "unless-stopped", "exec: no such file or directory");
    put("/once", "no", why);
    put("/runs", "unless-stopped", why, "running");
    const held = (await rig.containers.listLive()).filter(({ heldBack }) => heldBack !== undefined);
    expect(held.map(({ name }) => name)).toEqual(["held", "unresolved"]);
    expect(held[0]?.heldBack).toBe(why);
  });

  it("does not inspect again what has no GPU", async () => {
    for (let i = 0; i < 5; i++) rig.dockerd.put();
    const inspections = () => rig.dockerd.calls.filter((call) => call === "GET /containers/ID/json").length;
    await rig.containers.listLive();
    await rig.containers.listLive();
    expect(inspections()).toBe(5);
  });

  it("takes a ghost for stopped, and says so once", async () => {
    const ghost = rig.dockerd.put({ Config: labels() });
    rig.dockerd.processes.delete(ghost);
    for (let i = 0; i < 2; i++)
      expect(await rig.containers.listLive()).toMatchObject([{ container: ghost, running: false }]);
    expect(rig.lines.filter(({ message }) => message.includes("no process of it lives"))).toHaveLength(1);
    expect(await rig.containers.alive(ghost)).toBe(false);
  });

  it("believes Docker where the kernel cannot be asked", async () => {
    rig.processes = () => undefined;
    const running = rig.dockerd.put({ Config: labels() });
    const dead = rig.dockerd.put({ Config: labels(), State: { Status: "dead", Running: false, Dead: true } });
    const removing = rig.dockerd.put({ Config: labels(), State: { Status: "removing" } });
    const exited = rig.dockerd.put({ Config: labels(), State: { Status: "exited" } });
    const seen = Object.fromEntries(
      (await rig.containers.listLive()).map((one) => [one.container, one.running]),
    );
    expect(seen).toEqual({ [running]: true, [dead]: true, [removing]: true, [exited]: false });
    expect(await rig.containers.alive(running)).toBe(true);
  });

  it.each(["dead", "removing", "exited"])(
    "keeps the units of a %s container while a process of it lives",
    async (Status) => {
      const id = rig.dockerd.put({ Config: labels(), State: { Status } });
      rig.dockerd.processes.add(id);
      expect(await rig.containers.listLive()).toMatchObject([{ container: id, running: true }]);
      rig.dockerd.processes.delete(id);
      expect(await rig.containers.listLive()).toMatchObject([{ container: id, running: false }]);
    },
  );

  it("keeps those of one that Docker has forgotten, until its last process ends", async () => {
    const id = rig.dockerd.put({ Config: labels() });
    await rig.containers.listLive();
    rig.dockerd.containers.delete(id);
    expect(await rig.containers.listLive()).toMatchObject([{ container: id, running: true, units: [MIG0] }]);
    expect(await rig.containers.alive(id)).toBe(true);
    rig.dockerd.processes.delete(id);
    expect(await rig.containers.listLive()).toEqual([]);
  });

  it("counts one between two tries of its restart policy as running", async () => {
    const id = rig.dockerd.put({
      Config: labels(),
      State: { Status: "restarting", Running: true, Restarting: true },
    });
    rig.dockerd.processes.delete(id);
    expect(await rig.containers.listLive()).toMatchObject([{ container: id, running: true }]);
  });

  it("fails when a single answer is missing: half a look would set GPUs free", async () => {
    rig.dockerd.put({ Config: labels() });
    rig.dockerd.put({ Config: labels() });
    rig.dockerd.mood("GET /containers/ID/json", { kind: "status", status: 500, message: "locked" }, 1);
    await expect(rig.containers.listLive()).rejects.toThrow("locked");
    expect(await seenIds()).toHaveLength(2);
  });

  it("leaves a container without GPUs as it was known when dockerd cannot show it now", async () => {
    const web = rig.dockerd.put({ Name: "/web" });
    const ours = rig.dockerd.put({ Config: labels() });
    await rig.containers.listLive();
    rig.dockerd.end(web);
    rig.dockerd.mood("GET /containers/ID/json", { kind: "status", status: 500, message: "locked" });
    // It may be the container with GPUs that cannot be shown: then nothing is known.
    await expect(rig.containers.listLive()).rejects.toThrow("locked");
    rig.dockerd.calm();
    await rig.containers.listLive();
    expect(rig.containers.get("web")?.state).toBe("exited");
    rig.dockerd.take(ours);
    rig.dockerd.run(web);
    rig.dockerd.mood("GET /containers/ID/json", { kind: "status", status: 500, message: "locked" });
    expect(await rig.containers.listLive()).toEqual([]);
    expect(rig.containers.get("web")?.state).toBe("exited");
  });

  it("says that a privileged stranger sees every GPU", async () => {
    rig.dockerd.put({ Name: "/probe", HostConfig: { Privileged: true } });
    expect(await rig.containers.listLive()).toEqual([]);
    expect(rig.lines).toMatchObject([{ level: "warn", data: { name: "probe" } }]);
  });
});

describe("events", () => {
  it("tells start, end and removal of what has GPUs, and nothing else", async () => {
    await follow();
    const web = rig.dockerd.put({ State: { Status: "created" } });
    const id = rig.dockerd.put({ Config: labels(), State: { Status: "created" } });
    for (const one of [web, id]) {
      rig.dockerd.run(one);
      await rig.containers.tell(one);
      rig.dockerd.end(one);
      await rig.containers.tell(one);
      rig.dockerd.take(one);
      await rig.containers.tell(one);
    }
    await until("all three", 30_000, () => kinds().includes("gone"));
    const seen = {
      container: id,
      name: expect.any(String),
      user: "alice",
      units: [MIG0],
      grant: "g1",
      token: 7,
      running: true,
    };
    expect(told[0]).toEqual({ kind: "started", container: id, seen });
    expect(new Set(kinds())).toEqual(new Set(["started", "stopped", "gone"]));
    expect(told.every((event) => event.kind === "unsure" || event.container === id)).toBe(true);
  });

  it("tells what is so when it looks, not what was so: a container that is back was never gone", async () => {
    const id = rig.dockerd.put({ Config: labels() });
    await follow();
    rig.dockerd.mood("GET /containers/ID/json", { kind: "slow", ms: 100 }, 1);
    rig.dockerd.end(id);
    rig.dockerd.run(id);
    await until("news", 30_000, () => told.length >= 2);
    expect(kinds()).toEqual(["started", "started"]);
  });

  it("tells that a stranger's GPUs are free when it ends", async () => {
    const id = rig.dockerd.put({ HostConfig: cdi("0") });
    await rig.containers.listLive();
    await follow();
    rig.dockerd.end(id);
    await until("its end", 30_000, () => told.length > 0);
    expect(told).toEqual([{ kind: "gone", container: id }]);
  });

  it("holds back the end of a container while a process of it lives", async () => {
    const id = rig.dockerd.put({ Config: labels() });
    await rig.containers.listLive();
    await follow();
    rig.dockerd.take(id);
    rig.dockerd.processes.add(id);
    await rig.containers.tell(id);
    expect(told).toEqual([]);
    rig.dockerd.processes.delete(id);
    await until("its end", 30_000, () => told.length > 0);
    expect(told).toEqual([{ kind: "gone", container: id }]);
  });

  it("asks for a whole look after each interruption, and loses nothing of what happened in it", async () => {
    await follow();
    const id = rig.dockerd.put({ Config: labels(), State: { Status: "created" } });
    rig.dockerd.event("create", id);
    await rig.dockerd.stop();
    await until("the interruption", 30_000, () => kinds().includes("unsure"));
    told.length = 0;
    rig.dockerd.run(id);
    await rig.dockerd.start();
    await until("the news", 30_000, () => kinds().includes("started"));
    expect(kinds()[0]).toBe("unsure");
    expect(rig.containers.problem).toBeUndefined();
    const said = rig.lines.map(({ message }) => message).filter((message) => message.startsWith("Docker"));
    expect(said).toEqual(["Docker cannot be read", "Docker answers again"]);
  });

  it("asks for a whole look when one container cannot be looked at", async () => {
    const id = rig.dockerd.put({ Config: labels() });
    await rig.containers.listLive();
    await follow();
    rig.dockerd.mood("GET /containers/ID/json", { kind: "drop" }, 1);
    rig.dockerd.end(id);
    await until("the doubt", 30_000, () => told.length > 0);
    expect(told).toEqual([{ kind: "unsure" }]);
  });

  it("looks once, and not again and again, when dockerd is back before the next probe", async () => {
    await rig.containers.current();
    await rig.dockerd.stop();
    await expect(rig.containers.listLive()).rejects.toThrow("cannot be reached");
    rig.containers.await("00")(false);
    await until("the end of dockerd is known", 30_000, () => rig.containers.problem !== undefined);
    await rig.dockerd.start();
    await rig.containers.current();
    expect(rig.containers.problem).toBeUndefined();
    rig.dockerd.calls.length = 0;
    await rig.containers.current();
    expect(rig.dockerd.calls).toEqual([]);
  });

  it("notices a dockerd that hangs while its stream of events is open", async () => {
    rig.probeSeconds = 0.05;
    await rig.restart();
    await follow();
    rig.dockerd.mood("GET /containers/json", { kind: "hang" });
    await until("the doubt", 30_000, () => kinds().includes("unsure"));
    expect(rig.containers.problem).toMatch(/list the containers: .* gave no answer within 2 s/);
    await expect(rig.containers.listLive()).rejects.toThrow("gave no answer");
    told.length = 0;
    rig.dockerd.calm();
    await until("the way back", 30_000, () => kinds().includes("unsure"));
    expect(rig.containers.problem).toBeUndefined();
  });

  it("tells what is so after a whole look that it waited for, not what was so before", async () => {
    const id = rig.dockerd.put({ Config: labels() });
    await follow();
    // The look is slow to begin; the inspection of the first event is over before it.
    rig.dockerd.mood("GET /containers/json", { kind: "slow", ms: 100 }, 1);
    const look = rig.containers.listLive();
    await new Promise((resolve) => setTimeout(resolve, 20));
    Object.assign(rig.dockerd.containers.get(id)?.State ?? {}, { Status: "exited", Running: false });
    rig.dockerd.processes.delete(id);
    const late = rig.containers.tell(id);
    await new Promise((resolve) => setTimeout(resolve, 20));
    Object.assign(rig.dockerd.containers.get(id)?.State ?? {}, { Status: "running", Running: true });
    rig.dockerd.processes.add(id);
    await Promise.all([look, late]);
    expect(kinds()).toEqual(["started"]);
  });

  it("holds news back during a whole look, which began before them", async () => {
    const id = rig.dockerd.put({ Config: labels(), State: { Status: "created" } });
    await follow();
    rig.dockerd.mood("GET /containers/json", { kind: "slow", ms: 100 }, 1);
    const order: string[] = [];
    rig.containers.onEvent(({ kind }) => order.push(kind));
    const look = rig.containers.listLive().then(() => order.push("look"));
    rig.dockerd.run(id);
    await Promise.all([look, rig.containers.tell(id)]);
    expect(order[0]).toBe("look");
    expect(order).toContain("started");
  });
});

describe("what is done to containers", () => {
  it("stops those of Berth, and no other", async () => {
    const ours = rig.dockerd.put({ Config: labels() });
    const stranger = rig.dockerd.put();
    await rig.containers.stop(ours, 1);
    await rig.containers.stop("gone", 1);
    await expect(rig.containers.stop(stranger, 1)).rejects.toThrow(
      "is not one of Berth's, and is left alone",
    );
    expect(rig.dockerd.containers.get(stranger)?.State.Running).toBe(true);
    expect(await rig.containers.alive(ours)).toBe(false);
  });

  it("says of none that it runs while Docker does not answer", async () => {
    await rig.dockerd.stop();
    await expect(rig.containers.alive("x")).rejects.toThrow("cannot be reached");
  });
});

describe("processes", () => {
  let proc: string;
  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), "berth-proc-"));
  });
  afterEach(() => rmSync(proc, { recursive: true, force: true }));
  const id = (digit: string) => digit.repeat(64);
  function process(pid: number, cgroup: string, state = "S", comm = "x"): void {
    mkdirSync(join(proc, String(pid)));
    writeFileSync(join(proc, String(pid), "cgroup"), cgroup);
    writeFileSync(join(proc, String(pid), "stat"), `${pid} (a ) b) ${state} 1 1`);
    writeFileSync(join(proc, String(pid), "comm"), `${comm}\n`);
  }
  const running = (...ids: [string, number][]) => {
    const found = procProcesses(join(proc, "docker.sock"), proc).running(new Map(ids));
    return found && [...found].sort();
  };

  it("finds them by their cgroups, of both versions and both drivers", () => {
    process(10, `0::/berth.slice/berth-x.slice/${id("a")}\n`);
    process(11, `12:devices:/docker/${id("b")}\n3:memory:/docker/${id("b")}\n`);
    process(12, `0::/system.slice/docker-${id("c")}.scope\n`);
    process(13, `0::/docker/${id("d")}/init.scope\n`);
    process(14, "0::/user.slice\n");
    expect(running([id("a"), 0], [id("b"), 11], [id("c"), 999], [id("d"), 14], [id("e"), 14])).toEqual([
      id("a"),
      id("b"),
      id("c"),
      id("d"),
    ]);
  });

  it("does not take a zombie or a reused number for one", () => {
    process(20, `0::/docker/${id("a")}\n`, "Z");
    process(21, "0::/system.slice/ssh.service\n");
    process(22, `0::/docker/${id("c")}\n`);
    expect(running([id("a"), 20], [id("b"), 21], [id("c"), 22])).toEqual([id("c")]);
  });

  it("says that nobody knows where dockerd's own processes are out of sight", () => {
    process(30, "0::/user.slice\n");
    expect(running([id("a"), 30])).toBeUndefined();
    process(31, "0::/system.slice/docker.service\n", "S", "dockerd");
    writeFileSync(join(proc, "docker.pid"), "31");
    expect(running([id("a"), 30])).toEqual([]);
    writeFileSync(join(proc, "docker.pid"), "30");
    expect(running([id("a"), 30])).toBeUndefined();
  });
});
