/**
 * A server that is somebody's: adopted, set up by the stages, and left again.
 *
 * Proves: the preflight tells what is there and what will change, and changes nothing; what stands in the way is told
 * at once, and changes nothing either; the stages leave the operator's account, files, mount and running container
 * (same id, start time and process) as they are, and the guests of a bridge of theirs go on reaching out; the
 * retirement leaves them too, puts every setting back, takes away
 * every file, unit, chain, rule and mount of Berth's, keeps homes, never opens a port of Berth's on the way, keeps its
 * own connection, and may run twice, after a cut, and where nothing was set up.
 * Does not prove: real disks (host-storage.test.ts does), NVIDIA's part, InfiniBand, firewalld, swarm.
 *
 * Needs a Docker engine and OpenSSH's client. Makes and removes only things named berth-adopttest-….
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderBase } from "../../../components/host/base";
import { type FirewallOptions, renderFirewall } from "../../../components/host/firewall";
import {
  type PreflightOptions,
  readPreflightFacts,
  renderPreflight,
} from "../../../components/host/preflight";
import { renderRetire } from "../../../components/host/retire";
import { renderRuntime } from "../../../components/host/runtime";
import { renderStorage } from "../../../components/host/storage";
import { watch } from "../../lib/client";
import { docker } from "../../lib/docker";
import { OldServer } from "../../lib/old-server";
import { SECOND } from "../../lib/time";
import { until } from "../../lib/until";

const node = "old-server";
const ADDRESS = "10.89.8.10";
const server = new OldServer({
  name: "berth-adopttest-node",
  hostname: node,
  network: "berth-adopttest",
  subnet: "10.89.8.0/24",
  address: ADDRESS,
});
const firewall: FirewallOptions = {
  allowSsh: ["10.89.8.0/24"],
  allowUsers: ["10.89.8.0/24"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: [ADDRESS],
  clusterPorts: [{ start: 6379, end: 6379 }],
};
// The homes are bound from a place of their own: a mount and lines in fstab, without a disk.
const storage = { bind: { homes: "/srv/homes" } };
const runtime = { avoidNetworks: ["10.89.8.0/24"], insecureRegistries: ["10.89.8.2:5000"] };
const preflightOptions: PreflightOptions & { node: string } = {
  node,
  stack: "dev",
  privateAddress: ADDRESS,
  privateInterface: "eth0",
  ports: [
    { start: 22, end: 22, what: "the node's SSH", path: "ssh" },
    { start: 10000, end: 19999, what: "the users' blocks", path: "berth:ports.users" },
    { start: 6379, end: 6379, what: "Ray's gcs port", path: "berth:ports.ray.gcs" },
  ],
  firewall,
  storage,
  runtime,
};
const preflight = renderPreflight(preflightOptions);
const stages: Record<string, string> = {
  base: renderBase({ node }),
  firewall: renderFirewall({ node, ...firewall }),
  storage: renderStorage({ node, ...storage }),
  runtime: renderRuntime({ node, ...runtime }),
};
const retire = renderRetire({ node, stack: "dev", storage });

const LABELS = ["component=workspace", "stack=dev", `node=${node}`]
  .map((label) => `--label berth.${label}`)
  .join(" ");

/** A workspace as the stack makes it, seen from outside in its owner's block. */
const startWorkspace = () =>
  server.onNode(
    "mkdir -p /mnt/storage/homes/eve && echo mine >/mnt/storage/homes/eve/notes && " +
      `docker network create ${LABELS} berth-workspaces && ` +
      `docker run -d --name berth-dev-workspace-eve ${LABELS} --network berth-workspaces ` +
      "--restart unless-stopped -p 10002:8000 -p 9000:8000 self:1 python3 -m http.server -d /etc/alternatives 8000",
  );

/** A neighbour that answers: the client beside the server. */
const NEIGHBOUR = "10.89.8.20";

/**
 * A bridge of the operator's with a guest on it, as virtual machines and other container tools have them; its name begins
 * as those of Docker's bridges do. And a port of sshd's that takes passwords.
 */
const OWN_NETWORK = `
set -e
ip netns add guest
ip link add br-x type bridge
ip link add veth-x type veth peer name eth0 netns guest
ip link set veth-x master br-x up
ip addr add 10.77.7.1/24 dev br-x
ip link set br-x up
nsenter --net=/run/netns/guest sh -c 'ip link set lo up; ip addr add 10.77.7.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.77.7.1'
iptables -t nat -A POSTROUTING -s 10.77.7.0/24 ! -o br-x -j MASQUERADE
iptables -I FORWARD -i br-x -j ACCEPT
iptables -I FORWARD -o br-x -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
printf '%s\\n' 'Match LocalPort 2222' '    PasswordAuthentication yes' >>/etc/ssh/sshd_config
`;

/** True when the guest gets an answer from the neighbour. */
const guestReachesOut = async () =>
  (await server.ssh(`nsenter --net=/run/netns/guest curl -s -m 5 -o /dev/null http://${NEIGHBOUR}:8000/`))
    .code === 0;

/** What stands in the way, each by a file of its own, until `clear` takes them away. */
const OBSTACLES = {
  place: `
set -e
mkdir -p /etc/systemd/system/docker.service.d
printf '%s\\n' '[Service]' ExecStart= 'ExecStart=/usr/sbin/dockerd -H fd:// --log-driver=json-file' \
  >/etc/systemd/system/docker.service.d/own.conf
printf '%s\\n' 'MaxSessions 10' >/etc/ssh/sshd_config.d/00-hardening.conf
systemctl daemon-reload
systemd-run -q --unit squatter python3 -m http.server -b 127.0.0.1 10022`,
  clear: `
set -e
systemctl stop squatter
rm -r /etc/systemd/system/docker.service.d
rm /etc/ssh/sshd_config.d/00-hardening.conf
systemctl daemon-reload`,
};

/** The block of sshd's own that takes passwords is told, and stays. */
const MATCH_STAYS =
  /^leaves a line of sshd as it is: 'PasswordAuthentication yes' stays, where Match LocalPort 2222 applies \(\/etc\/ssh\/sshd_config line \d+\)$/m;

let own = "";
let before = "";

beforeAll(async () => {
  await docker("info");
  await server.cleanUp();
  await server.start();
  await server.onNode(OWN_NETWORK);
  const serve = ["python3", "-m", "http.server", "-d", "/etc/alternatives", "8000"];
  await docker("exec", "--detach", server.client, ...serve);
  await until("the guest's way out", 20 * SECOND, guestReachesOut);
  own = await server.ownThings();
  before = await server.settings();
}, 1_200_000);

afterAll(async () => {
  await server.cleanUp();
  await server.removeFiles();
}, 120_000);

describe("a server that is somebody's", { timeout: 900_000 }, () => {
  it("is left as it is by a retirement that finds nothing to take away", async () => {
    expect(await server.stage(retire)).toMatchObject({ changed: [], kept: ["/data on overlay"] });
    expect(await server.settings()).toBe(before);
    expect(await server.traces()).toBe("");
  });

  it("is refused with every reason at once, and nothing is recorded", async () => {
    await server.onNode(OBSTACLES.place);
    await until(
      "the squatter",
      20 * SECOND,
      async () => (await server.ssh("curl -s 127.0.0.1:10022")).code === 0,
    );
    const { code, stdout, stderr } = await server.ssh(
      renderPreflight({
        ...preflightOptions,
        privateAddress: "10.77.0.1",
        privateInterface: "eth1",
        login: "ghost",
      }),
    );
    await server.onNode(OBSTACLES.clear);
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(
      /the private address 10\.77\.0\.1 is on no interface of this server\. It has: .*\beth0 10\./,
    );
    expect(stderr).toMatch(
      /port 10022 is for the users' blocks \(berth:ports\.users\), and python3 \(process \d+\) listens on 127\.0\.0\.1:10022/,
    );
    expect(stderr).toContain(
      "autoExec names the login ghost, and there is none here. Make it (adduser ghost), or name one of: root ada",
    );
    expect(stderr).toContain(
      "dockerd is started with --log-driver=json-file (/etc/systemd/system/docker.service.d/own.conf), and Berth sets log-driver in /etc/docker/daemon.json: dockerd does not start with both",
    );
    expect(stderr).toContain(
      "sshd would not use 'MaxSessions 64 or more': /etc/ssh/sshd_config.d/00-hardening.conf line 1 says MaxSessions 10 before Berth's part is read",
    );
    expect(stderr).toContain("nothing was changed");
    expect(await server.onNode("ls -A /var/lib/berth")).toBe("pending\n");
    expect(await server.settings()).toBe(before);
  });

  it("is told about before anything changes", async () => {
    const { stdout, stderr } = await server.ssh(preflight);
    expect(stderr).toBe("");
    const facts = readPreflightFacts(stdout);
    expect(facts.users).toEqual([{ name: "ada", uid: 1000, home: "/home/ada" }]);
    expect(facts.docker).toMatchObject({
      package: "docker.io",
      running: 1,
      containers: 1,
      daemonJson: true,
      liveRestore: false,
      cgroupDriver: "systemd",
      dataRoot: "/var/lib/docker",
    });
    expect(facts.mounts).toContainEqual(
      expect.objectContaining({ target: "/var/lib/docker", filesystem: expect.stringMatching(/\w/) }),
    );
    expect(facts).toMatchObject({
      login: "root",
      sudo: false,
      ufw: { state: "inactive", rules: 1 },
      privateInterface: "eth0",
      timeSync: "host",
      before: "recorded",
    });
    const will = facts.willChange.join("\n");
    expect(will).toMatch(/^installs packages: .*pciutils/m);
    expect(will).toContain("adds /etc/ssh/sshd_config.d/10-berth.conf: no password login");
    expect(will).toMatch(MATCH_STAYS);
    expect(will).toMatch(/^enables ufw: nothing comes in but what the plan allows/m);
    expect(will).toContain(
      "closes published ports of containers to the outside, unless firewall.rules allow them: tcp 8088 (web)",
    );
    expect(will).toContain("makes directories: /workspace /data2 /mnt/storage");
    expect(will).toContain("mounts /srv/homes at /mnt/storage/homes");
    expect(will).toMatch(/^mounts what people write nosuid and nodev, /m);
    expect(will).toMatch(
      /sets in \/etc\/docker\/daemon\.json: .*exec-opts \(now \["native\.cgroupdriver=systemd"\]\)/,
    );
    expect(will).toMatch(
      /Containers that run \(1\) go on: live-restore is switched on by a reload before the restart/,
    );
    expect(await server.settings()).toBe(before);
    expect(await server.ownThings()).toBe(own);
    // Nothing but its log and the record.
    expect(await server.onNode("find /var/lib/berth /var/log/berth -type f | sort")).toBe(
      "/var/lib/berth/before.json\n/var/log/berth/preflight.log\n",
    );
    expect(
      await server.onNode(
        "stat -c %a /var/lib/berth/before.json; python3 -m json.tool /var/lib/berth/before.json | wc -l",
      ),
    ).toMatch(/^600\n\d\d\n$/);
  });

  it("is told the same to a person with sudo", async () => {
    const stdout = await server.onNode(preflight, { user: "ada" });
    expect(readPreflightFacts(stdout)).toMatchObject({ login: "ada", sudo: true });
  });

  it("is set up, and everything of the operator's goes on", async () => {
    expect(await server.answers(8088, 15)).toBe(true);
    for (const [name, command] of Object.entries(stages)) {
      const facts = await server.stage(command);
      if (name === "base")
        expect(facts.sshdExceptions).toEqual([expect.stringContaining("Match LocalPort 2222")]);
    }
    expect(await server.onNode("docker info -f '{{.CgroupDriver}} {{.LiveRestoreEnabled}}'")).toBe(
      "cgroupfs true\n",
    );
    expect(await server.ownThings()).toBe(own);
    expect(await server.answers(8088)).toBe(false);
    expect(await guestReachesOut()).toBe(true);
    expect(await server.onNode("findmnt -n -o TARGET /mnt/storage/homes")).toBe("/mnt/storage/homes\n");
    expect(await server.traces()).not.toBe("");
  });

  it("is no clash with itself afterwards: nothing more to change, the record as it was", async () => {
    await startWorkspace();
    await until("the workspace", 30 * SECOND, () => server.answers(10002));
    const record = await server.onNode("cat /var/lib/berth/before.json");
    const facts = readPreflightFacts((await server.ssh(preflight)).stdout);
    // The daemon comes after the host stages, which alone run here.
    expect(facts.willChange).toEqual([
      expect.stringMatching(MATCH_STAYS),
      expect.stringMatching(/^adds \/etc\/systemd\/system\/berthd\.service: /),
    ]);
    expect(facts.docker).toMatchObject({ running: 1, containers: 2, liveRestore: true });
    expect(facts.ufw).toEqual({ state: "active", rules: 1 });
    expect(await server.onNode("cat /var/lib/berth/before.json")).toBe(record);
    const other = await server.ssh(renderPreflight({ ...preflightOptions, stack: "other" }));
    expect(other.code).not.toBe(0);
    expect(other.stderr).toContain("this server is a node of the stack dev. Take it out there first");
  });

  it("is left as it was, with the homes, and no port of Berth's was open on the way", async () => {
    // Published, and in nobody's block: only the firewall closes it.
    expect((await server.ssh("curl -s -m 2 -o /dev/null http://127.0.0.1:9000/")).code).toBe(0);
    expect(await server.answers(9000)).toBe(false);
    const closed = await watch(server.client, ADDRESS, 9000);
    const facts = await server.stage(retire);
    expect(await closed.stop(), "open for a moment").toBe(false);
    expect(facts).toMatchObject({
      leftMounted: [],
      kept: ["/srv/homes on overlay"],
    });
    expect(facts.changed).toEqual(
      expect.arrayContaining([
        "container berth-dev-workspace-eve",
        "network berth-workspaces",
        "ufw disabled",
      ]),
    );
    expect(await server.onNode("cat /srv/homes/eve/notes")).toBe("mine\n");
    expect(await server.ownThings()).toBe(own);
    await server.onNode("rm -r /srv/homes");
    expect(await server.settings()).toBe(before);
    expect(await server.traces()).toBe("");
    expect(await server.answers(8088, 15)).toBe(true);
    expect(await guestReachesOut()).toBe(true);
    expect(await server.onNode("systemctl --failed --no-legend")).toBe("");
  });

  it("may be left twice", async () => {
    expect(await server.stage(retire)).toMatchObject({ changed: [] });
    expect(await server.settings()).toBe(before);
    expect(await server.ownThings()).toBe(own);
    expect(await server.traces()).toBe("");
  });

  it("is left whole after a cut, and after half of the stages", async () => {
    await server.stage(preflight);
    await server.stage(stages.base ?? "");
    await server.stage(stages.firewall ?? "");
    await server.stage(stages.runtime ?? "");
    // Cut while dockerd is between its two configurations.
    const cut = retire.replace("changed 'docker.service restarted'", "exit 7");
    expect(cut).not.toBe(retire);
    expect((await server.ssh(cut)).code).not.toBe(0);
    expect(await server.ownThings()).toBe(own);
    // The firewall still stands: what was not taken away is not open.
    expect(await server.onNode("ufw status | head -n 1; iptables -S BERTH-OUTSIDE | tail -n 1")).toBe(
      "Status: active\n-A BERTH-OUTSIDE -j DROP\n",
    );
    await server.stage(retire);
    expect(await server.settings()).toBe(before);
    expect(await server.ownThings()).toBe(own);
    expect(await server.traces()).toBe("");
  });

  it("keeps a ufw that was on, and nobody is shut out", async () => {
    await server.onNode("ufw --force enable && ufw allow 22/tcp && ufw allow 8088/tcp");
    const rules = await server.onNode("ufw show added; ufw status");
    await server.stage(preflight);
    await server.stage(stages.base ?? "");
    await server.stage(stages.firewall ?? "");
    await server.onNode("ufw delete allow 22/tcp");
    const refused = await server.ssh(retire);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("no rule of yours lets SSH in (port 22): you would be shut out");
    expect((await server.ssh("true")).code).toBe(0);
    await server.onNode("ufw insert 1 allow 22/tcp");
    await server.stage(retire);
    expect((await server.ssh("true")).code).toBe(0);
    expect((await server.onNode("ufw show added; ufw status")).split("\n").sort()).toEqual(
      rules.split("\n").sort(),
    );
    expect(await server.traces()).toBe("");
    expect(await server.ownThings()).toBe(own);
  });
});
