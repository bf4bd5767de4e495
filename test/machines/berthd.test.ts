/**
 * berthd on a machine with cgroup v2, through limits, reloads of systemd and a cut of the power.
 *
 * Proves: with either cgroup driver of Docker's, containers are in their user's slice, the kernel holds the limits of
 * a container and of all of a user's together, and a reload of systemd takes neither limits nor devices away; after a
 * cut of the power in the middle of grants the machine boots, the ledger is whole, the grants whose containers may go on
 * are there with their units, no unit is given twice, and the ledger and Docker say the same.
 * Does not prove: a disk that loses what it said was written (the files of the machine's disks outlive QEMU); GPUs
 * (they are declared), images (the program comes by disk).
 */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AgentDocuments } from "../../components/agent";
import { renderBase } from "../../components/host/base";
import { renderRuntime } from "../../components/host/runtime";
import { renderStorage } from "../../components/host/storage";
import { berthdOn, type Grant } from "../lib/berthd-node";
import { MINUTE } from "../lib/time";
import { until } from "../lib/until";
import { bringProgram, installBerthd } from "./lib/berthd";
import { Machines } from "./lib/machines";
import type { Server } from "./lib/server";
import { NETWORK } from "./lib/site";

const UNITS = 4;
const node = "metal-0";
const documents: AgentDocuments = {
  node: {
    ...{ stack: "machines", node, strategy: "least-allocated", allocation: "exclusive" },
    users: [
      { name: "alice", uid: 20000, group: "keeps" },
      { name: "bob", uid: 20001, group: "gives" },
    ],
    ...{ listen: "off", port: 9700 },
  },
  limits: {
    groups: {
      keeps: {
        max_mig_instances: null,
        max_containers_per_user: null,
        gpu_hold_after_stop: "1h",
        user_total: { memory: "96MiB", max_tasks: 50 },
      },
      gives: { max_mig_instances: null, max_containers_per_user: null, gpu_hold_after_stop: "0s" },
    },
  },
  gpus: {
    node,
    gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559, count: 1, mig: { "1g.10gb": UNITS } }],
  },
};
/** As systemd nests them: agent/src/slices. */
const SLICE = "/sys/fs/cgroup/berth.slice/berth-keeps.slice/berth-keeps-alice.slice";

let machines: Machines;
let server: Server;
const onNode = (command: string) => server.onNode(command);
const trimmed = async (command: string) => (await onNode(command)).trim();
const { call, grants, containers, agree } = berthdOn(onNode, 3 * MINUTE);
let image = "";

const request = (user: string, more: object = {}) => ({
  ...{
    user,
    image,
    command: ["/bin/busybox", "sleep", "100000"],
    stop_seconds: 0,
    gpus: { kind: "mig" },
    ...more,
  },
});
async function create(user: string, more: object = {}): Promise<{ id: string; grant: Grant | undefined }> {
  const { status, body } = await call("POST", "/api/containers", request(user, more));
  expect(status, body.error?.message).toBe(201);
  return { id: body.id, grant: body.grant };
}
const remove = async (id: string) => expect((await call("DELETE", `/api/containers/${id}`)).status).toBe(200);
const ready = () =>
  until("berthd", 5 * MINUTE, async () => {
    const ask = "curl -f -s -o /dev/null -m 20 --unix-socket /run/berth/berthd.sock http://berthd/ready";
    return (await server.ssh(ask)).code === 0;
  });

beforeAll(async () => {
  machines = await Machines.create();
  server = await machines.server(node, 10);
  await onNode(
    "mkdir -p /root/i/bin && cp /bin/busybox /root/i/bin/ && tar -C /root/i -c . | docker import - own:1",
  );
  image = await trimmed("docker image inspect -f '{{.Id}}' own:1");
  await bringProgram(server);
  await server.stage(renderBase({ node }));
  await server.stage(renderStorage({ node }));
}, 30 * MINUTE);

afterAll(() => machines?.close(), 2 * MINUTE);

/** What the kernel holds of alice's slice: memory, processes. */
const held = () => trimmed(`cat ${SLICE}/memory.max ${SLICE}/pids.max`);
/** How often her slice's own limit was what stopped something, not that of a container in it. */
const stopped = async () =>
  Number(await trimmed(`awk '$1 == "oom" {print $2}' ${SLICE}/memory.events.local`));

/** A device that the kernel refuses without a grant; the declared GPUs' stand-ins are open to every container. */
const PROBE = {
  cdiVersion: "0.6.0",
  kind: "berth.test/probe",
  devices: [{ name: "one", containerEdits: { deviceNodes: [{ path: "/dev/fuse", permissions: "rw" }] } }],
};

const DRIVERS: [driver: string, parent: string, prepare: () => Promise<void>][] = [
  [
    "systemd",
    "berth-keeps-alice.slice",
    // As somebody who set Docker up before: Debian's own driver, and CDI.
    async () => {
      await onNode(
        `mkdir -p /etc/docker && echo '{"features":{"cdi":true}}' >/etc/docker/daemon.json && systemctl restart docker`,
      );
    },
  ],
  [
    "cgroupfs",
    "/berth.slice/berth-keeps.slice/berth-keeps-alice.slice",
    async () => {
      await server.stage(renderRuntime({ node, avoidNetworks: [NETWORK], insecureRegistries: [] }));
    },
  ],
];

describe.each(DRIVERS)(
  "limits on cgroup v2 with Docker's driver %s",
  { timeout: 20 * MINUTE },
  (driver, parent, prepare) => {
    beforeAll(async () => {
      await prepare();
      expect(await trimmed("docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}'")).toBe(`${driver} 2`);
      await installBerthd(server, documents);
      await ready();
    }, 10 * MINUTE);

    it("puts a container into its user's slice", async () => {
      const { id } = await create("alice");
      const pid = await trimmed(`docker inspect -f '{{.State.Pid}}' ${id}`);
      expect(await trimmed(`cat /proc/${pid}/cgroup`)).toMatch(
        /^0::\/berth\.slice\/berth-keeps\.slice\/berth-keeps-alice\.slice\//,
      );
      expect(await held()).toBe(`${96 * 2 ** 20}\n50`);
      await remove(id);
    });

    it("keeps limits and devices through reloads of systemd", async () => {
      await onNode(
        `modprobe fuse; mkdir -p /etc/cdi; cat >/etc/cdi/probe.json <<'END'\n${JSON.stringify(PROBE)}\nEND`,
      );
      const start = (name: string, device: string) =>
        server.ssh(
          `docker run -d --name ${name} --memory 48m --cgroup-parent ${parent} ${device} own:1 /bin/busybox sleep 100000`,
        );
      const own = () => trimmed("docker exec with /bin/busybox cat /sys/fs/cgroup/memory.max");
      await until("the device", MINUTE, async () => {
        const ran = await start("with", "--device berth.test/probe=one");
        if (ran.code !== 0) await server.ssh("docker rm -f with");
        return ran.code === 0;
      });
      await start("without", "");
      await onNode("docker exec without /bin/busybox mknod /probe c 10 229");
      const opens = (name: string, path: string) =>
        server.ssh(`docker exec ${name} /bin/busybox sh -c 'exec 3<>${path}'`);
      const check = async () => {
        expect(await opens("with", "/dev/fuse")).toMatchObject({ code: 0 });
        expect((await opens("without", "/probe")).stderr).toContain("Operation not permitted");
        expect(await own()).toBe(String(48 * 2 ** 20));
        expect(await held()).toBe(`${96 * 2 ** 20}\n50`);
      };
      await check();
      await onNode("systemctl daemon-reload");
      await check();
      // Also when slices changed, as a new limits document makes them.
      await onNode("systemctl set-property --runtime berth.slice TasksMax=30000 && systemctl daemon-reload");
      await check();
      await onNode("docker rm -f with without");
    });

    it("ends what takes more than its container may, and what takes more than its user may", async () => {
      const before = await stopped();
      for (const [more, bySlice] of [
        [{ memory: "32MiB" }, 0],
        [{}, 1],
      ] as const) {
        const fill = { command: ["/bin/busybox", "tail", "/dev/zero"], gpus: undefined };
        const { id } = await create("alice", { ...fill, ...more });
        const end = await until("its end", 3 * MINUTE, async () => {
          const said = await trimmed(`docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' ${id}`);
          return said.startsWith("exited") && said;
        });
        expect(end).toBe("exited 137");
        expect(Math.min(1, (await stopped()) - before), JSON.stringify(more)).toBe(bySlice);
        await remove(id);
      }
    });
  },
);

describe("a cut of the power in the middle of grants", { timeout: 30 * MINUTE }, () => {
  it.each([1, 2])("leaves a whole ledger with the grants that go on (cut %i)", async (cut) => {
    const kept = [await create("alice"), await create("alice")];
    // Somebody who asks and gives back as fast as berthd answers.
    const ask = `curl -s --unix-socket /run/berth/berthd.sock -X`;
    const body = JSON.stringify(request("bob"));
    const loop = `while :; do id=$(${ask} POST -H 'content-type: application/json' -d '${body}' http://berthd/api/containers | sed 's/^{"id":"\\([0-9a-f]*\\)".*/\\1/'); echo "$id"; ${ask} DELETE http://berthd/api/containers/$id; echo; done`;
    const asking = spawn("ssh", server.sshArgs(loop), { stdio: ["ignore", "pipe", "ignore"] });
    let heard = "";
    asking.stdout.on("data", (data) => {
      heard += String(data);
    });
    // Containers that were created, no refusals. Another moment of its circle each time.
    const given = () => heard.match(/^[0-9a-f]{64}$/gm)?.length ?? 0;
    await until("grants under way", 5 * MINUTE, () => given() > cut, 50).catch((error: Error) => {
      throw new Error(`${error.message}; it heard: ${heard.slice(-500)}`);
    });
    await new Promise((wake) => setTimeout(wake, 700 * cut));
    await server.cutPower();
    asking.kill("SIGKILL");

    await server.boot();
    await ready();
    const after = await grants();
    for (const { id, grant } of kept)
      expect(after).toContainEqual(
        expect.objectContaining({ id: grant?.id, container: id, units: grant?.units, user: "alice" }),
      );
    expect(after.filter(({ user }) => user === "alice")).toHaveLength(kept.length);
    const check = `const {DatabaseSync} = require("node:sqlite"); console.log(new DatabaseSync("/var/lib/berth/agent/ledger.db", {readOnly: true}).prepare("pragma integrity_check").get().integrity_check)`;
    expect(await trimmed(`/usr/local/lib/berth/agent/current/node --no-warnings -e '${check}'`)).toBe("ok");
    // As alice would go on: with the containers and the units that she had.
    for (const { id } of kept) await onNode(`docker start ${id}`);
    await agree();
    // All units are to be had again: none was lost on the way.
    const rest = [await create("bob"), await create("bob")];
    const { status } = await call("POST", "/api/containers", request("bob"));
    expect(status).toBe(409);
    expect((await containers()).map(({ Id }) => Id)).toEqual(
      expect.arrayContaining(rest.map(({ id }) => id)),
    );
    for (const { Id } of await containers()) await remove(Id);
    await agree();
    expect(await grants()).toEqual([]);
  });
});
