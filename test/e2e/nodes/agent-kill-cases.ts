/**
 * @file berthd killed while it makes and removes containers, on the node of agent-rig.ts. The cases begin with an empty
 * ledger, and leave one.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { faultPoints } from "../../../agent/src/operations";
import type { AgentDocuments } from "../../../components/agent";
import { AGENT } from "../../../components/agent/options";
import { type Answer, berthdOn } from "../../lib/berthd-node";
import { SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { berthd, mainPid, node, OWN_FILES, onNode, override, ready, ssh, stage } from "./agent-rig";

const UNITS = 3;
const documents: AgentDocuments = {
  node: {
    ...{ stack: "hosttest", node, strategy: "least-allocated", allocation: "exclusive" },
    users: [
      { name: "alice", uid: 20000, group: "free" },
      { name: "bob", uid: 20001, group: "free" },
    ],
    ...{ listen: "off", port: 9700 },
  },
  limits: {
    groups: {
      free: {
        max_mig_instances: null,
        max_gpus_per_container: 2,
        max_containers_per_user: null,
        gpu_hold_after_stop: "0s",
      },
    },
  },
  gpus: {
    node,
    gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559, count: 1, mig: { "1g.10gb": UNITS } }],
  },
};

const { call, grants, containers, agree } = berthdOn(onNode);

let image = "";

const create = (more: object = {}) =>
  call("POST", "/api/containers", {
    user: "alice",
    image,
    command: ["sleep", "infinity"],
    stop_seconds: 0,
    gpus: { kind: "mig" },
    ...more,
  });
/** What a container finds of GPUs: the files under /dev. */
const devices = async (id: string) =>
  (await onNode(`docker exec ${id} find /dev -name 'nvidia*' -not -type d`)).trim().split("\n").sort();

/** What CDI gives for a unit, by the file that the engine reads. */
async function devicesOf(uuid: string): Promise<string[]> {
  const spec = JSON.parse(await onNode("cat /etc/cdi/berth-declared.json"));
  const one = spec.devices.find(({ name }: { name: string }) => name === uuid);
  const paths = [...one.containerEdits.deviceNodes, ...spec.containerEdits.deviceNodes];
  return paths.map(({ path }: { path: string }) => path).sort();
}

/** Starts berthd with that fault before it. The one after it comes without. */
async function restartWith(fault: string): Promise<string> {
  await onNode(
    `systemctl set-environment BERTH_FAULTS_ALLOWED=1 BERTH_FAULT=${fault}; systemctl reset-failed berthd.service; ` +
      "systemctl restart berthd.service; systemctl unset-environment BERTH_FAULTS_ALLOWED BERTH_FAULT",
  );
  await until("berthd", 60 * SECOND, ready);
  return mainPid();
}

/** The berthd of that number has died, and the next one is ready. */
async function nextOne(before: string): Promise<void> {
  await until("the next berthd", 60 * SECOND, async () => {
    const pid = await mainPid();
    return pid !== "0" && pid !== before && (await ready());
  });
}

async function clear(): Promise<void> {
  const ended = (await containers()).map(({ Id }) => call("DELETE", `/api/containers/${Id}`));
  for (const { status } of await Promise.all(ended)) expect([200, 404]).toContain(status);
  await until("an empty ledger", 20 * SECOND, async () => (await grants()).length === 0);
}

/** Asks for more than there is; what runs then is what there is. */
async function fill(): Promise<void> {
  const answers = await Promise.all(Array.from({ length: UNITS + 1 }, () => create({ user: "bob" })));
  for (const { status, body } of answers.filter((one) => one.status !== 201)) {
    expect([status, body.error?.code]).toEqual([409, "busy"]);
  }
  await agree();
  expect((await containers()).filter(({ State }) => State.Running)).toHaveLength(UNITS);
}

/** The cases, in their order. */
export function killCases(): void {
  beforeAll(async () => {
    // As on a node that has no grants, whatever ran there before.
    await onNode(`systemctl stop berthd.service && rm -rf ${AGENT.state}`);
    // Two seconds each time would be most of what the cases take; the unit's own value is in the stage's snapshot.
    await override("RestartSec=100ms");
    // An image that asks NVIDIA's runtime for everything.
    await onNode(
      `${OWN_FILES} | docker import -c 'ENV NVIDIA_VISIBLE_DEVICES=all' -c 'LABEL berth.gpus=GPU-stolen' - self:1`,
    );
    image = (await onNode("docker image inspect -f '{{.Id}}' self:1")).trim();
    await stage({ image: berthd.image, documents });
    await until("berthd", 60 * SECOND, ready);
  });

  afterAll(() => override());

  afterEach(() => onNode("docker rm -f stranger with without 2>/dev/null; rm -f /etc/cdi/probe.json"));

  it("gives a container exactly its grant, also when its image asks for all", async () => {
    const { status, body } = await create();
    expect(status, body.error?.message).toBe(201);
    expect(body.grant).toMatchObject({ state: "bound", container: body.id });
    const uuid = body.grant?.units[0]?.uuid ?? "";
    expect(await devices(body.id)).toEqual(await devicesOf(uuid));
    expect((await onNode(`docker exec ${body.id} printenv NVIDIA_VISIBLE_DEVICES`)).trim()).toBe("void");
    const none = await create({ gpus: undefined });
    expect(none.status).toBe(201);
    expect(await devices(none.body.id)).toEqual([""]);
    const cgroup = (await onNode(`docker inspect -f '{{.HostConfig.CgroupParent}}' ${body.id}`)).trim();
    expect(cgroup).toBe("/berth.slice/berth-free.slice/berth-free-alice.slice");
    await call("DELETE", `/api/containers/${none.body.id}`);
    await agree();
    await clear();
  });

  const created = faultPoints.filter((point) => point.startsWith("create:"));
  it.each(created)("killed at %s", async (point) => {
    const pid = await restartWith(point);
    expect((await create()).status).toBe(0);
    await nextOne(pid);
    await agree();
    const ran = point === "create:after-start";
    const running = (await containers()).filter(({ State }) => State.Running);
    expect(running).toHaveLength(ran ? 1 : 0);
    expect((await grants()).map(({ state }) => state)).toEqual(ran ? ["bound"] : []);
    for (const { Id } of running) {
      const [grant] = await grants();
      expect(await devices(Id)).toEqual(await devicesOf(grant?.units[0]?.uuid ?? ""));
    }
    await fill();
    await clear();
  });

  const removals = faultPoints.filter((point) => point.startsWith("remove:"));
  it.each(removals)("killed at %s", async (point) => {
    const { body } = await create();
    const pid = await restartWith(point);
    expect((await call("DELETE", `/api/containers/${body.id}`)).status).toBe(0);
    await nextOne(pid);
    // A removal that has begun is carried out.
    await agree();
    expect(await grants()).toEqual([]);
    expect((await call("DELETE", `/api/containers/${body.id}`)).status).toBe(404);
    await fill();
    await clear();
  });

  it("killed at any moment, with much under way", async () => {
    for (let round = 0; round < 6; round++) {
      const pid = await mainPid();
      const under = Promise.all([
        ...Array.from({ length: UNITS + 1 }, (_, i) => create({ user: i % 2 === 0 ? "alice" : "bob" })),
        ...(await containers()).slice(0, 2).map(({ Id }) => call("DELETE", `/api/containers/${Id}`)),
      ]);
      // Somewhere in the second or two that this takes.
      await onNode(`sleep 0.${(round * 37) % 100}; kill -9 ${pid}`);
      await under;
      await nextOne(pid);
      await agree();
    }
    await fill();
    await clear();
  });

  it("leaves nothing of what fails half-way, and says why", async () => {
    const taken = await create({ ports: [{ container: 80, host: 25000 }] });
    expect(taken.status).toBe(201);
    const cases: [object, RegExp][] = [
      [{ ports: [{ container: 80, host: 25000 }] }, /port is already allocated/],
      [{ image: `sha256:${"00".repeat(32)}` }, /is not on this node/],
      [{ workdir: "/etc/passwd" }, /not a directory/i],
    ];
    for (const [more, message] of cases) {
      const { status, body } = await create(more);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(body.error?.message).toMatch(message);
      await agree();
      expect(await grants()).toHaveLength(1);
    }
    await onNode("mv /etc/cdi/berth-declared.json /etc/cdi/away");
    try {
      // dockerd watches the folder.
      let refused: Answer | undefined;
      await until("dockerd has forgotten the devices", 20 * SECOND, async () => {
        refused = await create();
        if (refused.status === 201) await call("DELETE", `/api/containers/${refused.body.id}`);
        return refused.status !== 201;
      });
      expect(refused?.body.error?.message).toMatch(/unresolvable CDI devices/);
    } finally {
      await onNode("mv /etc/cdi/away /etc/cdi/berth-declared.json");
    }
    await agree();
    await clear();
  });

  it("grants nothing that somebody took with docker, and grants it again afterwards", async () => {
    const spec = JSON.parse(await onNode("cat /etc/cdi/berth-declared.json"));
    const uuid: string = spec.devices[0].name;
    await until("the devices", 20 * SECOND, async () => {
      const ran = await ssh(
        `docker run -d --name stranger --device nvidia.com/gpu=${uuid} self:1 sleep infinity`,
      );
      if (ran.code !== 0) await ssh("docker rm -f stranger");
      return ran.code === 0;
    });
    await until("the stranger is seen", 20 * SECOND, async () => (await grants()).length === 1);
    expect(await grants()).toMatchObject([{ user: "(foreign)", state: "bound", units: [{ uuid }] }]);
    const answers = await Promise.all(Array.from({ length: UNITS }, () => create()));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 409]);
    for (const { body } of answers) expect(body.grant?.units[0]?.uuid).not.toBe(uuid);
    await onNode("docker rm -f stranger");
    await until("it is free", 20 * SECOND, async () => (await grants()).length === UNITS - 1);
    expect((await create()).body.grant?.units[0]?.uuid).toBe(uuid);
    await clear();
  });

  it("closes while dockerd hangs, goes on answering, and opens again", async () => {
    const { body } = await create();
    const pid = (await onNode("pidof dockerd")).trim();
    await onNode(`kill -STOP ${pid}`);
    try {
      await until("the ledger is closed", 60 * SECOND, async () => !(await ready()));
      const began = Date.now();
      expect((await grants()).map(({ container }) => container)).toEqual([body.id]);
      expect(Date.now() - began).toBeLessThan(3000);
      const health = await onNode("curl -s --unix-socket /run/berth/berthd.sock http://berthd/health");
      expect(health).toMatch(/the containers cannot be compared with the ledger.*gave no answer/);
      expect((await create()).body.error?.code).toBe("closed");
      expect(
        (await call("POST", "/api/grants", { user: "bob", ask: { kind: "mig" } })).body.error?.code,
      ).toBe("closed");
    } finally {
      await onNode(`kill -CONT ${pid}`);
    }
    await until("the ledger is open", 60 * SECOND, ready);
    await agree();
    await fill();
    await clear();
  });

  it("keeps devices in running containers over a reload of systemd", async () => {
    // The stand-ins are /dev/null, which every container may use: this needs a device that is refused without a grant.
    const spec = {
      cdiVersion: "0.6.0",
      kind: "berth.test/probe",
      devices: [{ name: "one", containerEdits: { deviceNodes: [{ path: "/dev/fuse", permissions: "rw" }] } }],
    };
    await onNode(`cat >/etc/cdi/probe.json <<'END'\n${JSON.stringify(spec)}\nEND`);
    const slice = "--cgroup-parent /berth.slice/berth-free.slice/berth-free-alice.slice";
    await until("the device", 20 * SECOND, async () => {
      const ran = await ssh(
        `docker run -d --name with ${slice} --device berth.test/probe=one self:1 sleep infinity`,
      );
      if (ran.code !== 0) await ssh("docker rm -f with");
      return ran.code === 0;
    });
    await onNode(`docker run -d --name without ${slice} self:1 sleep infinity`);
    const opens = (name: string, path: string) => ssh(`docker exec ${name} sh -c 'exec 3<>${path}'`);
    await onNode("docker exec without mknod /probe c 10 229");
    const { body } = await create();
    const before = await devices(body.id);
    const check = async () => {
      expect(await opens("with", "/dev/fuse")).toMatchObject({ code: 0 });
      const refused = await opens("without", "/probe");
      expect(refused.stderr).toContain("Operation not permitted");
      for (const path of before) expect(await opens(body.id, path)).toMatchObject({ code: 0 });
      expect(await devices(body.id)).toEqual(before);
    };
    await check();
    await onNode("systemctl daemon-reload");
    await check();
    // Also when slices changed, as a new limits document makes them.
    await onNode("systemctl set-property --runtime berth.slice TasksMax=30000 && systemctl daemon-reload");
    await check();
    await agree();
    await clear();
  });
}
