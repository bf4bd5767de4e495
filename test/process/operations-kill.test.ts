/**
 * berthd, bundled and in a process of its own, killed with SIGKILL at each fault point of each kind of operation, and at
 * random moments under load; once alone, and once with the power of its disk, so that what it had not synced is gone.
 * dockerd is a stand-in that lives on; database and journal are real. Proves: the next berthd brings ledger and Docker to
 * agree, gives nothing twice, and leaves no container and no note behind; every kind has a way to be recovered.
 * The same with a real dockerd: test/e2e/nodes/agent-kill-cases.ts. Set-ups of managed containers are killed in
 * test/process/agent/setup-kill.test.ts, and the removal of what tenants had in test/process/manager-leave-kill.test.ts.
 */
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { faultPoints, OPERATIONS, type OperationKind } from "../../agent/src/operations";
import { FakeDockerd } from "../fakes/dockerd";
import { PowerCutDisk } from "../lib/power-cut";

interface Live {
  state: string;
  token: number;
  id: string;
  container?: string;
  units: { uuid: string }[];
}

const IMAGE = `sha256:${"ab".repeat(32)}`;
const UNITS = 2;
/** Creations and removals at a time, where berthd ends at a random moment. */
const BURST = 6;
const BURSTS = 4;
const asRoot = process.getuid?.() === 0;
type Kind = Exclude<OperationKind, "setup" | "leave">;
const points = faultPoints.filter((point) => !/^(setup|leave):/.test(point));

describe.each(["killed", "without power"])("a berthd that is %s", (how) => {
  const lost = how === "without power";
  // A container image without the right to mount has no disk to cut.
  const check = it.skipIf(lost && !asRoot);
  const dockerd = new FakeDockerd();
  const rig = import("../bench/ledger-node.mjs");
  let node: InstanceType<Awaited<typeof rig>["LedgerNode"]>;
  let disk: PowerCutDisk | undefined;

  beforeAll(async () => {
    if (lost && !asRoot) return;
    await dockerd.start();
    dockerd.images.set(IMAGE, IMAGE);
    if (lost) disk = new PowerCutDisk();
    const { LedgerNode } = await rig;
    node = new LedgerNode({
      users: [{ name: "alice" }, { name: "bob" }],
      limits: {
        defaults: { max_mig_instances: 99, max_containers_per_user: 99, gpu_hold_after_stop: "0s" },
        user_overrides: { bob: { gpu_hold_after_stop: "15m" } },
      },
      gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, mig: { "1g.10gb": UNITS } }],
      ...(disk === undefined ? {} : { parent: disk.folder }),
    });
    node.env.BERTH_DOCKER_SOCKET = dockerd.socket;
    // What listens on the disk would keep it from being taken away.
    node.docker = join(dockerd.folder, "unused.sock");
    await node.start();
    disk?.sync();
  }, 60_000);
  afterAll(async () => {
    await node?.end();
    await dockerd.close();
    disk?.close();
  });

  const ask = async (method: string, path: string, body?: object) =>
    (await rig).ask(node.socket, method, path, body);
  const create = () => ask("POST", "/api/containers", { user: "alice", image: IMAGE, gpus: { kind: "mig" } });
  const remove = (id: string) => ask("DELETE", `/api/containers/${id}`);
  const grants = async (): Promise<Live[]> => (await ask("GET", "/api/grants")).body.grants;

  /** Each kind as its caller begins it. */
  const begin: Record<Kind, (container: string) => Promise<unknown>> = {
    create: () => create(),
    remove: (container) => remove(container),
  };

  /** Ends berthd where it still runs, and takes the power from its disk where that is the case. */
  async function end(): Promise<void> {
    disk?.cut();
    await node.stopBerthd("SIGKILL");
    disk?.restore();
  }

  async function startWith(fault?: string): Promise<void> {
    Object.assign(node.env, { BERTH_FAULTS_ALLOWED: fault ? "1" : "", BERTH_FAULT: fault ?? "" });
    await node.startBerthd();
  }

  /** Kills berthd at the point; `away`: what happens until the next one starts. */
  async function killAt(point: string, act: () => Promise<unknown>, away = () => {}): Promise<void> {
    await end();
    await startWith(point);
    const child = node.berthd;
    if (!child) throw new Error("berthd runs");
    const died = once(child, "exit");
    await expect(act()).rejects.toThrow();
    expect((await died)[1]).toBe("SIGKILL");
    await end();
    away();
    await startWith();
  }

  /** What the journal has, read beside berthd. */
  function notes(): number {
    const db = new DatabaseSync(join(node.root, "var/lib/berth/agent/ledger.db"), { readOnly: true });
    try {
      return (db.prepare("SELECT count(*) AS n FROM operations").get() as { n: number }).n;
    } finally {
      db.close();
    }
  }

  /** Ledger and Docker, side by side. */
  async function state() {
    const all = [...dockerd.containers.values()];
    return {
      held: (await grants()).map((one) => [one.state, one.container, one.token, one.units[0]?.uuid]),
      running: all
        .filter(({ State }) => State.Running)
        .map((one) => [
          "bound",
          one.Id,
          Number(one.Config?.Labels?.["berth.grant-token"]),
          one.HostConfig.DeviceRequests?.[0]?.DeviceIDs?.[0]?.replace("nvidia.com/gpu=", ""),
        ]),
      unstarted: all.filter(({ State }) => State.Status === "created").length,
      notes: notes(),
    };
  }

  async function agreed(): Promise<number> {
    await expect
      .poll(
        async () => {
          const { held, running, ...left } = await state();
          return { same: JSON.stringify(held.sort()) === JSON.stringify(running.sort()), ...left };
        },
        { timeout: 10_000, interval: 20 },
      )
      .toEqual({ same: true, unstarted: 0, notes: 0 });
    const units = (await grants()).map(({ units }) => units[0]?.uuid);
    expect(new Set(units).size).toBe(units.length);
    return units.length;
  }

  async function removeAll(): Promise<void> {
    for (const container of [...dockerd.containers.keys()])
      expect((await remove(container)).status).toBe(200);
    expect(await agreed()).toBe(0);
  }

  /** What is free can be had, and no more. */
  async function canHave(free: number): Promise<void> {
    await expect.poll(async () => (await ask("GET", "/ready")).status, { timeout: 20_000 }).toBe(200);
    const more = await Promise.all(Array.from({ length: free + 1 }, create));
    const told = more.map(({ status, body }) =>
      status === 201 ? "runs" : `${body.error.code}: ${body.error.message}`,
    );
    expect(told.sort()).toEqual([expect.stringMatching(/^busy: /), ...Array<unknown>(free).fill("runs")]);
    await agreed();
  }

  /** After these the container runs. */
  const runs = ["create:after-start"];

  it("has a way to begin each kind of operation", () => {
    expect([...Object.keys(begin), "setup", "leave"]).toEqual(Object.keys(OPERATIONS));
  });

  check.each(points)(
    "%s",
    async (point) => {
      const kind = point.split(":")[0] as Kind;
      const id = kind === "create" ? "" : (await create()).body.id;
      await killAt(point, () => begin[kind](id));
      const left = await agreed();
      expect(left).toBe(runs.includes(point) ? 1 : 0);
      await canHave(UNITS - left);
      await removeAll();
    },
    60_000,
  );

  // Nothing is reserved then.
  const withOwn = points.filter((point) => point.startsWith("create:") && !point.endsWith("-reserve"));
  check.each(withOwn)(
    "%s, with a grant that was asked for before",
    async (point) => {
      const asked = await ask("POST", "/api/grants", { user: "alice", ask: { kind: "mig" } });
      const use = () =>
        ask("POST", "/api/containers", { user: "alice", image: IMAGE, gpus: { grant: asked.body.id } });
      await killAt(point, use);
      const ran = runs.includes(point);
      await expect
        .poll(
          async () => {
            const { unstarted, notes } = await state();
            const [grant] = await grants();
            return { id: grant?.id, state: grant?.state, unstarted, notes };
          },
          { timeout: 20_000, interval: 20 },
        )
        .toEqual({ id: asked.body.id, state: ran ? "bound" : "reserved", unstarted: 0, notes: 0 });
      await expect.poll(async () => (await ask("GET", "/ready")).status, { timeout: 20_000 }).toBe(200);
      expect((await use()).status).toBe(ran ? 409 : 201);
      expect(await agreed()).toBe(1);
      await removeAll();
    },
    60_000,
  );

  /** A grant of bob's, held for a container that stopped, and how he uses it for another one. */
  async function held() {
    const asked = await ask("POST", "/api/grants", { user: "bob", ask: { kind: "mig" } });
    const { id } = asked.body;
    const use = () => ask("POST", "/api/containers", { user: "bob", image: IMAGE, gpus: { grant: id } });
    const stopped: string = (await use()).body.id;
    dockerd.end(stopped);
    await expect.poll(async () => (await grants())[0]?.state, { timeout: 10_000 }).toBe("held");
    return { id, use, stopped };
  }

  /** Once the next berthd has ended what was half-done. */
  const settled = (expected: { grant: object; running: number }) =>
    expect
      .poll(
        async () => {
          const { running, unstarted, notes } = await state();
          const [grant] = await grants();
          return { grant, running: running.length, unstarted, notes };
        },
        { timeout: 20_000, interval: 20 },
      )
      .toMatchObject({ ...expected, unstarted: 0, notes: 0 });

  check.each(withOwn)(
    "%s, with a grant that is held for a container that stopped",
    async (point) => {
      const { id, use, stopped } = await held();
      await killAt(point, use);
      const ran = runs.includes(point);
      const left = /after-bind|before-start/.test(point) ? "reserved" : "held";
      await settled({ grant: { id, state: ran ? "bound" : left }, running: ran ? 1 : 0 });
      await expect.poll(async () => (await ask("GET", "/ready")).status, { timeout: 20_000 }).toBe(200);
      expect((await use()).status).toBe(ran ? 409 : 201);
      expect(await agreed()).toBe(1);
      expect(dockerd.containers.get(stopped)?.State.Running).toBe(false);
      await removeAll();
    },
    60_000,
  );

  check.each(["create:after-create", "create:before-bind"])(
    "%s, with a grant that is held for a container that runs again meanwhile, which has it then",
    async (point) => {
      const { id, use, stopped } = await held();
      await killAt(point, use, () => dockerd.run(stopped));
      await settled({ grant: { id, state: "bound", container: stopped }, running: 1 });
      expect((await use()).status).toBe(409);
      expect(await agreed()).toBe(1);
      await removeAll();
    },
    60_000,
  );

  check(
    "at a random moment of many creations and removals",
    async () => {
      for (let burst = 0; burst < BURSTS; burst++) {
        const calls = Promise.allSettled(
          Array.from({ length: BURST }, async () => {
            const made = await create();
            if (made.status === 201) await remove(made.body.id);
          }),
        );
        await after(Math.random() * 60);
        await end();
        await calls;
        await startWith();
        await agreed();
      }
      await removeAll();
      await canHave(UNITS);
      await removeAll();
    },
    120_000,
  );
});
