/**
 * berthd, bundled and in a process of its own, killed with SIGKILL at each fault point; dockerd is a stand-in, the
 * database and the journal are real. Proves: the next berthd brings ledger and Docker to agree, and gives nothing twice.
 * The same with a real dockerd, and at random moments: test/e2e/nodes/agent-kill-cases.ts.
 */
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { faultPoints } from "../../agent/src/docker/faults";
import { FakeDockerd } from "../fakes/dockerd";

interface Live {
  state: string;
  token: number;
  container?: string;
  units: { uuid: string }[];
}

const IMAGE = `sha256:${"ab".repeat(32)}`;
const UNITS = 2;
const dockerd = new FakeDockerd();
const rig = import("../bench/ledger-node.mjs");
let node: InstanceType<Awaited<typeof rig>["LedgerNode"]>;

beforeAll(async () => {
  await dockerd.start();
  dockerd.images.set(IMAGE, IMAGE);
  const { LedgerNode } = await rig;
  node = new LedgerNode({
    users: [{ name: "alice" }],
    limits: {
      defaults: { max_mig_instances: 99, max_containers_per_user: 99, gpu_hold_after_stop: "0s" },
    },
    gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, mig: { "1g.10gb": UNITS } }],
  });
  node.env.BERTH_DOCKER_SOCKET = dockerd.socket;
  await node.start();
}, 60_000);
afterAll(async () => {
  await node?.end();
  await dockerd.close();
});

const ask = async (method: string, path: string, body?: object) =>
  (await rig).ask(node.socket, method, path, body);
const create = () => ask("POST", "/api/containers", { user: "alice", image: IMAGE, gpus: { kind: "mig" } });
const remove = (id: string) => ask("DELETE", `/api/containers/${id}`);
const grants = async (): Promise<Live[]> => (await ask("GET", "/api/grants")).body.grants;

async function restartWith(fault?: string): Promise<void> {
  await node.stopBerthd("SIGKILL");
  Object.assign(node.env, { BERTH_FAULTS_ALLOWED: fault ? "1" : "", BERTH_FAULT: fault ?? "" });
  await node.startBerthd();
}

/** Ledger and Docker, side by side. */
async function state() {
  const folder = join(node.root, "var/lib/berth/agent/creations");
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
    notes: existsSync(folder) ? readdirSync(folder).length : 0,
  };
}

async function agreed(): Promise<number> {
  await expect
    .poll(
      async () => {
        const { held, running, unstarted, notes } = await state();
        return { same: JSON.stringify(held.sort()) === JSON.stringify(running.sort()), unstarted, notes };
      },
      { timeout: 10_000, interval: 20 },
    )
    .toEqual({ same: true, unstarted: 0, notes: 0 });
  const units = (await grants()).map(({ units }) => units[0]?.uuid);
  expect(new Set(units).size).toBe(units.length);
  return units.length;
}

it.each(faultPoints)(
  "%s",
  async (point) => {
    const removal = point.startsWith("remove:");
    const id = removal ? (await create()).body.id : "";
    await restartWith(point);
    const child = node.berthd;
    if (!child) throw new Error("berthd runs");
    const died = once(child, "exit");
    await expect(removal ? remove(id) : create()).rejects.toThrow();
    expect((await died)[1]).toBe("SIGKILL");
    await restartWith();
    const left = await agreed();
    const runs = ["create:after-start", "create:before-bind", "create:after-bind", "remove:before-stop"];
    expect(left).toBe(runs.includes(point) ? 1 : 0);
    await expect.poll(async () => (await ask("GET", "/ready")).status, { timeout: 20_000 }).toBe(200);
    // What is free can be had, and no more.
    const more = await Promise.all(Array.from({ length: UNITS + 1 }, create));
    const free = UNITS - left;
    const told = more.map(({ status, body }) =>
      status === 201 ? "runs" : `${body.error.code}: ${body.error.message}`,
    );
    expect(told.sort()).toEqual([
      ...Array<unknown>(UNITS + 1 - free).fill(expect.stringMatching(/^busy: /)),
      ...Array<unknown>(free).fill("runs"),
    ]);
    await agreed();
    for (const container of [...dockerd.containers.keys()])
      expect((await remove(container)).status).toBe(200);
    expect(await agreed()).toBe(0);
  },
  60_000,
);
