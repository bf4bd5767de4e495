/**
 * The host stages on a real node: a container with systemd, reached by SSH like any machine.
 *
 * Proves: each stage runs over SSH from nothing, and a second time without a change; what the stages promise is
 * there; the firewall answers whom it should and nobody else, on both paths (the node's own ports, published
 * container ports), in IPv4 and IPv6, and still does after `ufw reload`, a restart of dockerd and one of the node,
 * with no open moment on the way; so do a bound folder and the guard of what people write; a set of rules that would cut
 * the session is refused; the session survives.
 * Does not prove: NVIDIA's toolkit (no GPU), Ubuntu, cloud-init, firewalled IPv6 forwarding by dockerd itself.
 *
 * Needs a Docker engine and OpenSSH's client. Makes and removes only things named berth-hosttest-….
 */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderBase } from "../../../components/host/base";
import { type FirewallOptions, renderFirewall } from "../../../components/host/firewall";
import { renderReady } from "../../../components/host/node-ready";
import { renderRuntime } from "../../../components/host/runtime";
import { parseFacts } from "../../../components/host/stage";
import { renderStorage } from "../../../components/host/storage";
import { answers, startClient, watch } from "../../lib/client";
import { buildImage, docker, removeThings } from "../../lib/docker";
import { TestNode } from "../../lib/node";
import { SECOND } from "../../lib/time";
import { until } from "../../lib/until";

const node = "node-0";
const ADDRESS = "10.89.7.10";
const ADDRESS6 = "fd00:89:7::10";
const network = { name: "berth-hosttest", subnets: ["10.89.7.0/24", "fd00:89:7::/64"] };
const CLIENTS = { allowed: "berth-hosttest-allowed", denied: "berth-hosttest-denied" };
const machine = new TestNode({
  ...{ name: "berth-hosttest-node", hostname: node, network, address: ADDRESS, address6: ADDRESS6 },
  cpus: "1.5",
  // The firewall is asked by new connections alone.
  multiplex: false,
});
const clusterPorts = [
  { start: 6379, end: 6379 },
  { start: 31000, end: 31999 },
];
const firewall: FirewallOptions = {
  allowSsh: ["10.89.7.0/24"],
  allowUsers: ["10.89.7.20", "fd00:89:7::20"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: [ADDRESS, "10.89.7.11"],
  clusterPorts,
};
const stages: Record<string, string> = {
  ready: renderReady({ node }),
  base: renderBase({ node }),
  firewall: renderFirewall({ node, ...firewall }),
  storage: renderStorage({ node, bind: { workspaces: "/srv/workspaces" } }),
  runtime: renderRuntime({ node, avoidNetworks: ["10.89.7.0/24"], insecureRegistries: ["10.89.7.2:5000"] }),
};

/** A published web server in a container made from the node's own programs: no image has to be fetched. */
async function publishServers(): Promise<void> {
  await machine.onNode(
    "tar -C / -c --exclude=usr/share --exclude=usr/lib/modules bin lib lib64 sbin usr etc | docker import - self:1",
  );
  const publish = [`${ADDRESS}:10022:8000`, `[${ADDRESS6}]:10022:8000`, `${ADDRESS}:9000:8000`, "9001:8000"];
  await machine.onNode(
    `docker run -d --restart unless-stopped --name web ${publish.map((p) => `-p ${p}`).join(" ")} ` +
      "-w /etc/alternatives self:1 python3 -m http.server 8000",
  );
  await machine.onNode(
    "systemd-run -q --unit ray-like python3 -m http.server -d /etc/alternatives 6379 && " +
      "systemd-run -q --unit other python3 -m http.server -d /etc/alternatives 5555",
  );
}

async function cleanUp(): Promise<void> {
  await removeThings({ containers: Object.values(CLIENTS) });
  await machine.cleanUp();
}

beforeAll(async () => {
  await docker("info");
  await cleanUp();
  await machine.start();
  const { ref: image } = await buildImage("node");
  for (const [name, last] of [
    [CLIENTS.allowed, "20"],
    [CLIENTS.denied, "21"],
  ] as const) {
    const addresses = { address: `10.89.7.${last}`, address6: `fd00:89:7::${last}` };
    await startClient({ name, network: network.name, ...addresses, image });
  }
}, 1_200_000);

afterAll(async () => {
  await cleanUp();
  await machine.removeFiles();
}, 120_000);

describe("host stages on a local node", { timeout: 900_000 }, () => {
  it("runs all of them, in order, and tells the facts", async () => {
    const ready = await machine.ssh(stages.ready ?? "");
    expect(ready.stderr).toBe("");
    const facts = parseFacts(ready.stdout);
    expect(facts).toMatchObject({
      os: "debian",
      osVersion: "13",
      container: "docker",
      systemState: "running",
    });
    expect(facts.memoryBytes).toBe(2 * 2 ** 30);
    expect(facts.cpus).toBe(1.5);
    expect(facts.addresses).toContain(`eth0 ${ADDRESS}/24`);
    for (const name of ["base", "firewall", "storage"]) await machine.stage(stages[name] ?? "");
    const runtime = await machine.ssh(stages.runtime ?? "");
    expect(runtime.stderr).toBe("");
    expect(parseFacts(runtime.stdout)).toMatchObject({
      cgroupDriver: "cgroupfs",
      cdi: true,
      gpu: "none",
    });
  });

  it("changes nothing the second time, and is quick", async () => {
    for (const [name, command] of Object.entries(stages)) {
      const began = Date.now();
      expect(await machine.stage(command), name).toMatchObject({ changed: [] });
      expect(Date.now() - began, `${name} took too long`).toBeLessThan(15_000);
    }
  });

  it("leaves what it promises", async () => {
    const modes = await machine.onNode(
      "stat -c '%a %U %n' /workspace /data /data2 /mnt/storage /mnt/storage/homes /mnt/storage/shared/tensorboard " +
        "/var/log/berth /var/log/berth/base.log",
    );
    expect(modes.trim().split("\n")).toEqual([
      "755 root /workspace",
      "755 root /data",
      "755 root /data2",
      "755 root /mnt/storage",
      "711 root /mnt/storage/homes",
      "755 root /mnt/storage/shared/tensorboard",
      "700 root /var/log/berth",
      "600 root /var/log/berth/base.log",
    ]);
    const sshd = await machine.onNode("sshd -T -C user=root,host=x,addr=10.89.7.1");
    expect(sshd).toContain("passwordauthentication no");
    expect(sshd).toContain("maxstartups 100:30:200");
    expect(await machine.onNode("docker info -f '{{.LoggingDriver}} {{.LiveRestoreEnabled}}'")).toBe(
      "local true\n",
    );
    expect(await machine.onNode("systemctl --failed --no-legend")).toBe("");
  });

  it("names the step, the log and the node when a step fails", async () => {
    const broken = renderStorage({ node, directories: ["/etc/hostname"] });
    const { code, stdout, stderr } = await machine.ssh(broken);
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain(
      'stage storage, step "directories" failed: see /var/log/berth/storage.log on node-0',
    );
    expect(stderr).toContain("/etc/hostname is in the way: it is regular file");
  });

  it("refuses rules that would shut out the connection it runs over, and changes nothing", async () => {
    const before = await machine.onNode("ufw status; iptables -S BERTH-OUTSIDE");
    const { code, stderr } = await machine.ssh(
      renderFirewall({ node, ...firewall, allowSsh: ["10.99.0.0/16"] }),
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain("firewall.allowSsh does not hold 10.89.7.1");
    expect(await machine.onNode("ufw status; iptables -S BERTH-OUTSIDE")).toBe(before);
  });

  const expectPolicy = async () => {
    await until("the allowed client", 90 * SECOND, () => answers(CLIENTS.allowed, ADDRESS, 10022));
    const asked: [client: string | undefined, host: string, port: number, expected: boolean][] = [
      // The published port, on both families, for the network that is allowed; for no other.
      [CLIENTS.denied, ADDRESS, 10022, false],
      [undefined, ADDRESS, 10022, false],
      [CLIENTS.allowed, ADDRESS6, 10022, true],
      [CLIENTS.denied, ADDRESS6, 10022, false],
      // Published, but in nobody's block: closed to all, whatever address it was bound to.
      [CLIENTS.allowed, ADDRESS, 9000, false],
      [CLIENTS.allowed, ADDRESS, 9001, false],
      [CLIENTS.allowed, ADDRESS6, 9001, false],
      // Ray's ports and the node's own: not for clients, and not for the operator's computer.
      ...[CLIENTS.allowed, CLIENTS.denied, undefined].flatMap((client) =>
        [6379, 5555].map((port): [string | undefined, string, number, boolean] => [
          client,
          ADDRESS,
          port,
          false,
        ]),
      ),
    ];
    // What is closed is silent for as long as it is asked; what should answer has the time that a busy computer takes.
    const got = await Promise.all(
      asked.map(([client, host, port, expected]) => answers(client, host, port, expected ? 15 : 2)),
    );
    const wrong = asked.filter(([, , , expected], i) => got[i] !== expected);
    expect(wrong, "client, address, port, and whether it should answer").toEqual([]);
  };

  it("answers whom it should and nobody else", async () => {
    await publishServers();
    // Without the rules all of it answers, so a closed port is the firewall's work.
    await until(
      "the web server",
      60 * SECOND,
      async () => (await machine.ssh(`curl -s -m 2 http://${ADDRESS}:10022/`)).code === 0,
    );
    expect((await machine.ssh("curl -s -m 15 http://127.0.0.1:6379/")).code).toBe(0);
    expect((await machine.ssh("curl -s -m 15 http://127.0.0.1:9001/")).code).toBe(0);
    await expectPolicy();
  });

  it("sees an open port when there is one, and the stage closes it", async () => {
    await machine.onNode("iptables -I BERTH-OUTSIDE 1 -j RETURN");
    const denied = await watch(CLIENTS.denied, ADDRESS, 10022);
    await until("the hole", 20 * SECOND, denied.answered);
    expect(await denied.stop()).toBe(true);
    await machine.stage(stages.firewall ?? "");
    await expectPolicy();
  });

  it("lets containers out, to published ports of their node, and workspaces to Ray", async () => {
    await machine.onNode(
      "docker network create --subnet 172.30.0.0/24 -o com.docker.network.bridge.enable_icc=false ws",
    );
    const inside = (network: string, url: string, seconds = 3) =>
      machine
        .ssh(`docker run --rm --network ${network} self:1 curl -s -m ${seconds} -o /dev/null ${url}`)
        .then((r) => r.code === 0);
    expect(await inside("ws", `http://${ADDRESS}:6379/`, 15)).toBe(true);
    expect(await inside("ws", `http://${ADDRESS}:10022/`, 15)).toBe(true);
    expect(await inside("ws", `http://${ADDRESS}:5555/`)).toBe(false);
    // Another network of containers is no workspace.
    expect(await inside("bridge", `http://${ADDRESS}:6379/`)).toBe(false);
    await docker("exec", "-d", CLIENTS.denied, "python3", "-m", "http.server", "8000");
    await until("a way out", 20 * SECOND, () => inside("ws", "http://10.89.7.21:8000/"));
  });

  it("keeps the rules through ufw reload, restarts of ufw and dockerd", async () => {
    for (const command of ["ufw reload", "systemctl restart ufw", "systemctl restart docker"]) {
      const denied = await watch(CLIENTS.denied, ADDRESS, 10022);
      await machine.onNode(command);
      await expectPolicy();
      expect(await denied.stop(), `open for a moment during ${command}`).toBe(false);
    }
  });

  it("keeps the rules through a restart of the node, with no open moment", async () => {
    const denied = await watch(CLIENTS.denied, ADDRESS, 10022);
    await machine.restart(30);
    const look = { deadline: 20 * SECOND };
    await until(
      "dockerd after the restart",
      90 * SECOND,
      async () => (await machine.ssh("docker info", look)).code === 0,
    );
    await machine.onNode(
      "systemd-run -q --unit ray-like python3 -m http.server -d /etc/alternatives 6379; " +
        "systemd-run -q --unit other python3 -m http.server -d /etc/alternatives 5555",
    );
    await expectPolicy();
    expect(await denied.stop(), "open for a moment").toBe(false);
    expect(await machine.onNode("systemctl --failed --no-legend")).toBe("");
    // The mounts that fstab names are there, and what people write is guarded, also by its other path.
    expect(
      await machine.onNode("stat -c %d:%i /srv/workspaces /mnt/storage/workspaces | uniq | wc -l"),
    ).toMatch(/^1\s*$/);
    for (const folder of [
      "/mnt/storage/homes",
      "/mnt/storage/workspaces",
      "/mnt/storage/shared",
      "/srv/workspaces",
    ])
      expect(
        await machine.onNode(`findmnt -n -o VFS-OPTIONS --mountpoint ${folder} | tail -n 1`),
        folder,
      ).toMatch(/nosuid,nodev/);
    for (const [name, command] of Object.entries(stages)) {
      expect(await machine.stage(command), name).toMatchObject({ changed: [] });
    }
  });

  it("changes the rules in place, under a session that goes on", async () => {
    const session = spawn("ssh", machine.sshArgs("for i in $(seq 200); do echo $i; sleep 0.2; done"), {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let lines = 0;
    session.stdout.on("data", (data) => {
      lines += String(data).split("\n").length - 1;
    });
    await until("the session", 20 * SECOND, async () => lines > 0);
    const edited = {
      node,
      ...firewall,
      allowUsers: ["10.89.7.21"],
      rules: [{ port: 9000, from: ["10.89.7.20"] }],
    };
    expect(await machine.stage(renderFirewall(edited))).toMatchObject({ otherRules: 0 });
    expect(await answers(CLIENTS.denied, ADDRESS, 10022, 15)).toBe(true);
    expect(await answers(CLIENTS.allowed, ADDRESS, 10022)).toBe(false);
    expect(await answers(CLIENTS.allowed, ADDRESS6, 10022)).toBe(false);
    expect(await answers(CLIENTS.allowed, ADDRESS, 9000, 15)).toBe(true);
    expect(await answers(CLIENTS.denied, ADDRESS, 9000)).toBe(false);
    const now = lines;
    await until("the session goes on", 10 * SECOND, async () => lines > now + 3);
    expect(session.exitCode).toBeNull();
    session.kill();
    // The operator's own rule is left alone.
    await machine.onNode("ufw allow from 10.1.2.3 to any port 7777 proto tcp");
    expect(await machine.stage(stages.firewall ?? "")).toMatchObject({ otherRules: 1 });
    expect(await machine.onNode("ufw status")).toContain("10.1.2.3");
    await expectPolicy();
  });
});
