/**
 * A stack of two servers, as an operator writes it: virtual machines with their own kernel, adopted by `up`.
 *
 * Proves: LVM is made, found again and grown by an edit of the stack file, and a disk with foreign data is refused with
 * no byte changed; a home over its project quota is stopped (ext4 by EDQUOT, xfs by ENOSPC) and its neighbour goes on;
 * one node serves NFS version 4 to the other, and both see what either writes; an RDMA device is found and told; after
 * a real restart the mounts, the service, the container and the firewall are back, and no port that is closed answered
 * within a second on the way, in IPv4 and IPv6.
 * Does not prove: images, Ray and workspaces (left out of `up`: they are too large for an emulated processor; see
 * test/e2e), InfiniBand's own link layer (rxe is RDMA over Ethernet), packages (all are on the machines beforehand).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderFabric } from "../../components/host/fabric";
import { answers, watch } from "../lib/client";
import { run } from "../lib/run";
import { type Configuration, TestStack } from "../lib/stack";
import { MINUTE } from "../lib/time";
import { until } from "../lib/until";
import { Machines } from "./lib/machines";
import { diskPath, type Server } from "./lib/server";
import { operator, type SiteClient } from "./lib/site";

/** All but the images and what is made of them, as an operator would leave out a part. */
const HOSTS = ["--exclude", "**-image-**", "--exclude-dependents"];
const stack = new TestStack("machines-e2e");

let machines: Machines;
let head: Server;
let worker: Server;
let allowed: SiteClient;
let denied: SiteClient;

function configuration(): Configuration {
  const node = (server: Server) => ({
    ...{ name: server.name, kind: "baremetal", cpus: 8, memory: "32GiB" },
    address: `${server.address}:${server.address}`,
    ...{ hostKey: server.hostKey, keyFile: server.keyFile },
    fabric: { enabled: true },
  });
  return {
    "berth:nodes": [
      {
        ...node(head),
        role: "head",
        storage: {
          lvm: {
            group: "fast",
            devices: [{ serial: "LVM-0" }, { serial: "LVM-1" }],
            volumes: [
              { name: "storage", size: "400MiB", filesystem: "xfs", mount: "/mnt/storage" },
              { name: "shared", size: "25%", filesystem: "ext4", mount: "/data" },
            ],
          },
          nfs: { server: { exports: [{ path: "/data", to: [worker.address] }] } },
        },
      },
      {
        ...node(worker),
        role: "worker",
        storage: {
          devices: [{ match: { serial: "DISK-0" }, filesystem: "ext4", mount: "/mnt/storage" }],
          nfs: { mounts: [{ from: "metal-0:/data", mount: "/mnt/shared" }] },
        },
      },
    ],
    "berth:users": ["alice", "bob", "carol", "dave"].map((name, index) => ({
      ...{ name, index, node: index < 2 ? head.name : worker.name },
      ...{ cpus: 1, memory: "1GiB" },
    })),
    "berth:storage": { quota: { home: { soft: "10MiB", hard: "20MiB" } } },
    "berth:firewall": {
      allowSsh: [operator.address, operator.address6],
      allowUsers: [allowed.address, allowed.address6],
    },
    "berth:ray": { enabled: false },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

/** Soft RoCE, which is there after each boot, as a card is. */
const RXE = `cat >/etc/systemd/system/rxe.service <<'END'
[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "modprobe rdma_rxe && rdma link add rxe0 type rxe netdev eth0"
[Install]
WantedBy=multi-user.target
END
systemctl enable -q --now rxe.service`;

beforeAll(async () => {
  machines = await Machines.create();
  stack.removeHome();
  stack.makeHome();
  [head, worker] = await Promise.all([machines.server("metal-0", 10), machines.server("metal-1", 11)]);
  allowed = await machines.client("allowed", 20);
  denied = await machines.client("denied", 21);
  await head.addDisk("LVM-0", "1G");
  await head.addDisk("LVM-1", "1G");
  await worker.addDisk("DISK-0", "600M");
  await Promise.all([head, worker].map((server) => server.onNode(RXE)));
  stack.writeConfiguration(configuration());
}, 40 * MINUTE);

afterAll(async () => {
  await machines?.close();
  stack.removeHome();
}, 5 * MINUTE);

const trimmed = async (server: Server, command: string) => (await server.onNode(command)).trim();
/** The file system at a place, in MiB. */
const size = async (server: Server, mount: string) =>
  Number(await trimmed(server, `df -P -BM ${mount} | awk 'NR == 2 {print $2 + 0}'`));

describe("two servers in one stack", { timeout: 20 * MINUTE }, () => {
  it("become nodes by one `up`, which has nothing to do a second time", async () => {
    await stack.up(["--skip-preview", ...HOSTS]);
    await stack.nothingToDo(HOSTS);
    for (const server of [head, worker]) {
      expect(await trimmed(server, "systemctl --failed --plain --no-legend")).toBe("");
      expect(await trimmed(server, "stat -f -c %T /sys/fs/cgroup")).toBe("cgroup2fs");
    }
  });

  it("have logical volumes of their own, with file systems on them", async () => {
    expect(
      await trimmed(head, "lvs --noheadings -o vg_name,lv_name,lv_tags fast | awk '{$1 = $1} 1' | sort"),
    ).toBe("fast shared berth\nfast storage berth");
    expect(await trimmed(head, "vgs --noheadings -o pv_count,vg_tags fast | awk '{$1 = $1} 1'")).toBe(
      "2 berth",
    );
    const mounts = await trimmed(
      head,
      "findmnt -n -r -o TARGET,FSTYPE /mnt/storage; findmnt -n -r -o TARGET,FSTYPE /data",
    );
    expect(mounts).toBe("/mnt/storage xfs\n/data ext4");
  });

  it.each([
    ["xfs", () => head, "alice", "bob", 20000, "No space left on device"],
    ["ext4", () => worker, "carol", "dave", 20002, "Disk quota exceeded"],
  ] as const)(
    "stop a home on %s at its limit, and let its neighbour write",
    async (_, server, user, other, uid, error) => {
      const write = (name: string, id: number, mib: number) =>
        server().ssh(
          `setpriv --reuid ${id} --regid ${id} --clear-groups --bounding-set=-sys_resource dd if=/dev/zero of=/mnt/storage/homes/${name}/file bs=1M count=${mib} conv=fsync`,
        );
      const over = await write(user, uid, 30);
      expect(over.code).toBe(1);
      expect(over.stderr).toContain(error);
      expect(
        Number(await trimmed(server(), `stat -c %s /mnt/storage/homes/${user}/file`)),
      ).toBeLessThanOrEqual(20 * 2 ** 20);
      // Root in a container that has the home is stopped as well: the limit is the folder's, not the writer's.
      expect((await write(user, 0, 30)).stderr).toContain(error);
      expect(await write(other, uid + 1, 8)).toMatchObject({ code: 0 });
      await server().onNode(`rm /mnt/storage/homes/${user}/file`);
      expect(await write(user, uid, 8)).toMatchObject({ code: 0 });
    },
  );

  it("share files by NFS version 4, seen at once on both", async () => {
    expect(await trimmed(worker, "findmnt -n -o SOURCE,FSTYPE /mnt/shared | tr -s ' '")).toBe(
      `${head.address}:/data nfs4`,
    );
    expect(await trimmed(worker, "findmnt -n -o OPTIONS /mnt/shared")).toMatch(/vers=4\.\d/);
    await head.onNode("install -d -m 1777 /data/all && echo from-the-server >/data/all/one");
    expect(await trimmed(worker, "cat /mnt/shared/all/one")).toBe("from-the-server");
    await worker.onNode("echo from-the-client >/mnt/shared/all/two");
    expect(await trimmed(head, "cat /data/all/two")).toBe("from-the-client");
    // Nobody but the nodes: the port is closed to others.
    const [program = "", ...words] = denied.inside;
    const knock = ["timeout", "10", "bash", "-c", `exec 3<>/dev/tcp/${head.address}/2049`];
    // 124: nobody answered; a port that is open would give 0, one that nobody listens on 1.
    expect(await run(program, [...words, ...knock])).toMatchObject({ code: 124 });
  });

  it("tell of the RDMA device, and give NCCL nothing, as it is not InfiniBand", async () => {
    const { ports, ...facts } = await head.stage(renderFabric({ node: head.name }));
    expect(facts).toMatchObject({ changed: [], fabric: "infiniband", verbs: ["rxe0"], nccl: {} });
    expect(ports).toEqual([
      { device: "rxe0", port: 1, state: "Active", gbps: expect.any(Number), link: "Ethernet" },
    ]);
    // What the verbs say is true: messages pass.
    await head.onNode("systemd-run -q --unit pong ibv_rc_pingpong -d rxe0 -g 1 -n 20");
    const ping = await until("RDMA", 2 * MINUTE, async () => {
      const ran = await head.ssh("ibv_rc_pingpong -d rxe0 -g 1 -n 20 127.0.0.1");
      return ran.code === 0 && ran.stdout;
    });
    expect(ping).toContain("20 iters");
  });

  it("grow by an edit of the stack file, with their data, and change nothing else", async () => {
    const before = { storage: await size(head, "/mnt/storage"), data: await size(head, "/data") };
    await head.onNode("echo kept >/mnt/storage/homes/alice/kept");
    stack.edit((config) => {
      const { lvm } = config["berth:nodes"][0].storage;
      lvm.volumes[0].size = "700MiB";
      lvm.volumes[1].size = "40%";
    });
    const changes = await stack.changes(HOSTS);
    expect(changes.map(({ op, name }) => `${op} ${name}`)).toEqual(["update berth-metal-0-host-storage"]);
    await stack.up(["--skip-preview", ...HOSTS]);
    expect(await size(head, "/mnt/storage")).toBeGreaterThan(before.storage + 250);
    expect(await size(head, "/data")).toBeGreaterThan(before.data + 200);
    expect(await trimmed(head, "cat /mnt/storage/homes/alice/kept /data/all/two")).toBe(
      "kept\nfrom-the-client",
    );
    await stack.nothingToDo(HOSTS);
  });

  it("keep a disk that holds somebody's data as it is, and say whose it looks", async () => {
    await worker.addDisk("PHOTOS-0", "64M");
    await worker.onNode(`mkfs.ext4 -q -L photos ${diskPath("PHOTOS-0")}`);
    const digest = () => trimmed(worker, `sha256sum <${diskPath("PHOTOS-0")}`);
    const before = await digest();
    const device = { match: { serial: "PHOTOS-0" }, filesystem: "ext4", mount: "/mnt/photos" };
    stack.edit((config) => config["berth:nodes"][1].storage.devices.push(device));
    const refused = await stack.berth("up", ["--yes", "--skip-preview", ...HOSTS]);
    expect(refused.code).not.toBe(0);
    expect(refused.text).toMatch(/serial PHOTOS-0 .* holds data that is not Berth's: ext4 photos/);
    expect(await digest()).toBe(before);
    stack.edit((config) => config["berth:nodes"][1].storage.devices.pop());
    await stack.up(["--skip-preview", ...HOSTS]);
  });

  it("are as they were after a real restart, with no open moment on the way", async () => {
    const port = 10022;
    await head.onNode(
      "mkdir -p /root/web/bin && cp /bin/busybox /root/web/bin/ && tar -C /root/web -c . | docker import - web:1",
    );
    const publish = [`${head.address}:${port}:8000`, `[${head.address6}]:${port}:8000`]
      .map((p) => `-p ${p}`)
      .join(" ");
    await head.onNode(
      `docker run -d --name web --restart unless-stopped ${publish} web:1 /bin/busybox httpd -f -p 8000 -h /bin`,
    );
    const policy = async () => {
      const url = { v4: head.address, v6: head.address6 };
      await until("the allowed client", 5 * MINUTE, () => answers(allowed.inside, url.v4, port, 20));
      await until("the allowed client, IPv6", MINUTE, () => answers(allowed.inside, url.v6, port, 20));
      expect(await answers(denied.inside, url.v4, port, 10)).toBe(false);
      expect(await answers(denied.inside, url.v6, port, 10)).toBe(false);
    };
    await policy();
    const watches = await Promise.all(
      [head.address, head.address6].map((host) => watch(denied.inside, host, port)),
    );
    await head.reboot();
    await policy();
    for (const one of watches) expect(await one.stop(), "open for a moment").toBe(false);
    // A rule that lets everybody in would be seen, by the same watch.
    await head.onNode("iptables -I BERTH-OUTSIDE 1 -j RETURN");
    const control = await watch(denied.inside, head.address, port);
    await until("the watch sees an open port", MINUTE, control.answered).finally(control.stop);
    await head.onNode("iptables -D BERTH-OUTSIDE 1");

    const mounts = await trimmed(
      head,
      "findmnt -n -r -o TARGET,FSTYPE /mnt/storage; findmnt -n -r -o TARGET,FSTYPE /data",
    );
    expect(mounts).toBe("/mnt/storage xfs\n/data ext4");
    for (const folder of ["homes", "workspaces", "shared"])
      expect(await trimmed(head, `findmnt -n -o OPTIONS -T /mnt/storage/${folder}`)).toMatch(/nosuid.*nodev/);
    expect(await trimmed(head, "cat /mnt/storage/homes/alice/kept")).toBe("kept");
    // The client waited, and goes on with the server that came back.
    expect(await trimmed(worker, "cat /mnt/shared/all/two")).toBe("from-the-client");
    await stack.nothingToDo(HOSTS);
    const over = await head.ssh("dd if=/dev/zero of=/mnt/storage/homes/alice/file bs=1M count=30 conv=fsync");
    expect(over.stderr).toContain("No space left on device");
  });
});
