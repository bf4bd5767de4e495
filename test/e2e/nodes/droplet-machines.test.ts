/**
 * Droplets of the test API as real machines, through the API alone: what the later tests of a whole stack stand on.
 *
 * Proves: rendered user data makes a machine that shows our host key at the first connection and lets our key in;
 * cloud-init runs at boot, ends without an error or a warning, and takes our document for valid; the addresses are
 * those that the API reports; a volume is found by its serial by the storage stage's own finder, and keeps its data
 * through a restart, a detachment and another machine; the cloud firewall holds from outside, in IPv4 and IPv6,
 * follows its rules, and lets named droplets in; a restart keeps addresses, volume and firewall; deleting leaves
 * nothing on this computer.
 * Does not prove: swap, a partition of the root disk that grows, udev (a container has none of them).
 *
 * Needs root, a Docker engine, loop devices, OpenSSH's client. Makes and removes only what is labelled
 * berth.test-digitalocean=selftest.
 */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderUserData, userDataMarker } from "../../../cloud-init";
import { renderReady } from "../../../components/host/node-ready";
import { parseFacts } from "../../../components/host/stage";
import { renderStorage } from "../../../components/host/storage";
import { deriveSshKey } from "../../../components/secrets/derive";
import { render } from "../../../plugins/cloudinit/src/render";
import { type Api, startApi } from "../../fakes/digitalocean";
import { cleanUpMachines, type Machines, startMachines } from "../../fakes/digitalocean/machines";
import { must } from "../../fakes/digitalocean/machines/command";
import { connects, hostKeys, leftovers } from "../../fakes/digitalocean/machines/rig";
import { run } from "../../lib/run";
import { sshArgs } from "../../lib/ssh";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";

/** Empty where the tests can run, else why they cannot. */
function missing(): string {
  if (process.getuid?.() !== 0) return "they need root";
  if (spawnSync("losetup", ["-f"]).status !== 0) return "this kernel offers no loop device";
  return "";
}
const reason = missing();
if (reason !== "") console.warn(`NOT TESTED: droplets as machines: ${reason}`);

const seed = randomUUID();
const operator = deriveSshKey(seed, "operator");
/** Known to the account alone, and put into the machine by the provider. */
const account = deriveSshKey(seed, "account");
const folder = mkdtempSync(join(tmpdir(), "berth-droplets-"));
const region = "fra1";
/** So that it never meets the machines of another test. */
const NAME = "selftest";
let machines: Machines;
let api: Api;

// biome-ignore lint/suspicious/noExplicitAny: JSON, checked by what the tests expect of it
async function call(method: string, path: string, body?: object): Promise<any> {
  const response = await fetch(`${api.url}/v2${path}`, {
    method,
    headers: { authorization: `Bearer ${api.token}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** An action of the API, played to its end. */
async function act(path: string, body: object): Promise<void> {
  const { action } = await call("POST", path, body);
  await api.idle();
  const { action: ended } = await call("GET", `/actions/${action.id}`);
  expect({ ...ended, failures: machines.failures }).toMatchObject({ status: "completed", failures: [] });
}

interface Droplet {
  readonly id: number;
  readonly name: string;
  readonly public: string;
  readonly public6: string;
  readonly private: string;
  readonly sha256: string;
  /** File of known hosts with our key, written before the machine was reached. */
  readonly known: string;
}

async function boot(name: string, vpc: string, options: object): Promise<Droplet> {
  const hostKey = deriveSshKey(seed, name);
  const { parts, sha256 } = renderUserData({
    node: name,
    hostKey,
    login: { name: "root", keys: [`${operator.publicKey} berth`] },
  });
  const { rendered } = render({
    gzip: false,
    base64Encode: false,
    parts: parts.map((part) => ({ ...part })),
  });
  const { droplet } = await call("POST", "/droplets", {
    ...{ name, region, size: "s-1vcpu-1gb", image: "debian-13-x64", vpc_uuid: vpc, user_data: rendered },
    ...{ ipv6: true, ...options },
  });
  await api.idle();
  expect(machines.failures).toEqual([]);
  const { networks, status } = (await call("GET", `/droplets/${droplet.id}`)).droplet;
  expect(status).toBe("active");
  const address = (type: string) =>
    networks.v4.find((one: { type: string; ip_address: string }) => one.type === type)?.ip_address;
  const known = join(folder, `known-${name}`);
  writeFileSync(known, `${address("public")} ${hostKey.publicKey}\n`);
  const public6 = networks.v6[0]?.ip_address;
  return {
    id: droplet.id,
    name,
    public: address("public"),
    public6,
    private: address("private"),
    sha256,
    known,
  };
}

function ssh({ public: address, known: knownHosts }: Droplet, command: string, deadline = 2 * MINUTE) {
  const args = sshArgs({ address, knownHosts, key: join(folder, "id"), options: { ConnectTimeout: "3" } });
  return run("ssh", [...args, command], { deadline });
}

async function on(droplet: Droplet, command: string): Promise<string> {
  const { code, stdout, stderr } = await ssh(droplet, command);
  if (code !== 0)
    throw new Error(`${droplet.name}: ${command.slice(0, 200)}: exit ${code}\n${stderr}${stdout}`);
  return stdout.trimEnd();
}

async function stage(droplet: Droplet, command: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await ssh(droplet, command, 10 * MINUTE);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return parseFacts(stdout);
}

/**
 * Waits until SSH lets us in. Nobody listens at first, and for a moment when the first boot reloads sshd; another
 * answer than ours, or a refused key, is never waited away.
 */
async function answersSsh(droplet: Droplet): Promise<void> {
  const { code, stderr } = await until(`SSH to ${droplet.name}`, MINUTE, async () => {
    const ran = await ssh(droplet, "true", 30 * SECOND);
    const nobody = /Connection (refused|timed out|reset|closed)|No route to host/.test(ran.stderr);
    return ran.code !== 0 && nobody ? false : ran;
  });
  if (code !== 0) throw new Error(`${droplet.name}: ssh: exit ${code}\n${stderr}`);
}

/** Waits for the end of the first boot, after which sshd is not reloaded again. */
async function finished(droplet: Droplet): Promise<void> {
  await answersSsh(droplet);
  expect((await ssh(droplet, "cloud-init status --wait")).stdout).toContain("status: done");
}

const storage = renderStorage({
  node: "node-0",
  devices: [{ match: { serial: "0DO_Volume_data" }, filesystem: "ext4", mount: "/mnt/data" }],
});

describe.skipIf(reason !== "")("droplets as machines", { timeout: 300_000 }, () => {
  let vpc: string;
  let volume: string;
  let firewall: string;
  let node: Droplet;
  let other: Droplet;
  const inbound = (...rules: object[]) => ({
    name: "nodes",
    tags: ["berth-test"],
    inbound_rules: [
      { protocol: "tcp", ports: "22", sources: { addresses: ["0.0.0.0/0", "::/0"] } },
      { protocol: "tcp", ports: "all", sources: { tags: ["berth-test"] } },
      ...rules,
    ],
    outbound_rules: ["tcp", "udp", "icmp"].map((protocol) => ({
      protocol,
      ports: "all",
      destinations: { addresses: ["0.0.0.0/0", "::/0"] },
    })),
  });

  beforeAll(async () => {
    machines = await startMachines({
      ...{ name: NAME, publicRange: "10.95.0.0/24", publicRange6: "fd00:95::/64" },
    });
    // Others than those of a stack that is tested meanwhile.
    api = await startApi({ hooks: machines.hooks, reservedFrom: 256 });
    writeFileSync(join(folder, "id"), operator.privateKey, { mode: 0o600 });
  }, 1_800_000);

  afterAll(async () => {
    try {
      await api?.close();
    } finally {
      await machines?.close();
      rmSync(folder, { recursive: true, force: true });
    }
    expect(await leftovers(NAME)).toEqual([]);
  }, 180_000);

  it("boots with our host key and lets us in at the first connection", async () => {
    const key = await call("POST", "/account/keys", {
      name: "operator",
      public_key: `${account.publicKey} account`,
    });
    ({
      vpc: { id: vpc },
    } = await call("POST", "/vpcs", { name: "berth", region, ip_range: "10.121.0.0/20" }));
    await call("POST", "/tags", { name: "berth-test" });
    ({
      firewall: { id: firewall },
    } = await call("POST", "/firewalls", inbound()));
    ({
      volume: { id: volume },
    } = await call("POST", "/volumes", { name: "data", region, size_gigabytes: 1 }));
    node = await boot("node-0", vpc, {
      ssh_keys: [key.ssh_key.id],
      tags: ["berth-test"],
      volumes: [volume],
    });
    await finished(node);
    expect(await on(node, "hostname")).toBe("node-0");
    // No other key is shown, of whatever type.
    expect(await hostKeys(node.public)).toEqual([deriveSshKey(seed, "node-0").publicKey]);
    expect(await on(node, "cut -d ' ' -f 3 /root/.ssh/authorized_keys | sort | paste -s -d ' '")).toBe(
      "account berth",
    );
  });

  it("has finished cloud-init without an error or a warning", async () => {
    const facts = await stage(node, renderReady({ node: "node-0" }));
    expect(facts).toMatchObject({ os: "debian", osVersion: "13" });
    expect(await on(node, "cloud-init status --wait --long")).toMatch(/^status: done$[\s\S]*^errors: \[\]$/m);
    expect(await on(node, "cloud-init schema --system")).toMatch(/Valid schema user-data/);
    const log = await on(node, "cat /var/log/cloud-init.log");
    expect(log).toContain("finish: modules-final: SUCCESS");
    expect(log.match(/^.*(WARNING|ERROR|CRITICAL|Traceback).*$/gm)).toBeNull();
    expect(await on(node, `cat ${userDataMarker}`)).toBe(node.sha256);
    expect(await on(node, "dpkg --status unattended-upgrades")).toContain("install ok installed");
    expect(await on(node, "systemctl is-system-running")).toBe("running");
  });

  const addresses = (droplet: Droplet) =>
    on(droplet, "ip -o address show scope global | awk '{print $2, $4}' | sort");
  const expected = () =>
    [`eth0 ${node.public}/24`, `eth0 ${node.public6}/64`, `eth1 ${node.private}/20`].sort().join("\n");

  it("has the addresses that the API reports", async () => {
    expect(await addresses(node)).toBe(expected());
    expect(node.private).toMatch(/^10\.121\./);
    expect(await on(node, "ip -4 route show default")).toMatch(/ dev eth0/);
  });

  it("shows the volume by its serial, to the storage stage and to lsblk", async () => {
    expect(await on(node, "lsblk -d -n -o SERIAL,SIZE /dev/disk/by-id/scsi-0DO_Volume_data")).toMatch(
      /^data +1G$/,
    );
    const first = await stage(node, storage);
    expect(first.devices).toMatchObject([
      { name: "0DO_Volume_data", filesystem: "ext4", mount: "/mnt/data" },
    ]);
    await on(node, "echo kept > /mnt/data/file");
    expect((await stage(node, storage)).changed).toEqual([]);
  });

  const serve = async () => {
    await on(node, "systemd-run -q python3 -m http.server -b :: -d /etc/alternatives 8000");
    const answers = async () => (await ssh(node, "curl -s -o /dev/null localhost:8000")).code === 0;
    await until("the server", 10 * SECOND, answers);
  };
  const states = async (port: number) => [
    await connects(node.public, port),
    await connects(node.public6, port),
  ];

  it("is closed by the cloud firewall but for port 22, in both families, and follows its rules", async () => {
    await serve();
    expect(await states(22)).toEqual(["open", "open"]);
    expect(await states(8000)).toEqual(["filtered", "filtered"]);
    const rule = { protocol: "tcp", ports: "8000-8001", sources: { addresses: ["0.0.0.0/0", "::/0"] } };
    await call("PUT", `/firewalls/${firewall}`, inbound(rule));
    await api.idle();
    expect(await states(8000)).toEqual(["open", "open"]);
    // Let in, and nobody there.
    expect(await states(8001)).toEqual(["refused", "refused"]);
    await call("PUT", `/firewalls/${firewall}`, inbound());
    await api.idle();
    expect(await states(8000)).toEqual(["filtered", "filtered"]);
  });

  it("keeps addresses, volume and firewall through a restart, by the API and from inside", async () => {
    // When the first process began, in ticks.
    const start = "cut -d ' ' -f 22 /proc/1/stat";
    for (const restart of [
      () => act(`/droplets/${node.id}/actions`, { type: "reboot" }),
      () => ssh(node, "systemctl reboot"),
    ]) {
      const before = await on(node, start);
      await restart();
      await until("the restart", MINUTE, async () => {
        const { code, stdout } = await ssh(node, start, 20 * SECOND);
        return code === 0 && stdout.trim() !== before;
      });
      expect(await addresses(node)).toBe(expected());
      expect(await on(node, "systemctl is-system-running --wait")).toBe("running");
      expect(await on(node, "cat /mnt/data/file")).toBe("kept");
      expect((await stage(node, storage)).changed).toEqual([]);
    }
    await serve();
    expect(await states(22)).toEqual(["open", "open"]);
    expect(await states(8000)).toEqual(["filtered", "filtered"]);
  });

  it("lets the droplets in that a rule names by their tag, and no other", async () => {
    other = await boot("node-1", vpc, { ipv6: false });
    await finished(other);
    expect(await on(other, "ip -6 -o address show scope global")).toBe("");
    const curl = (address: string) => `curl -s -m 2 -o /dev/null http://${address}:8000/`;
    const reaches = async (address: string) => (await ssh(other, curl(address))).code === 0;
    expect([await reaches(node.public), await reaches(node.private)]).toEqual([false, false]);
    await call("POST", `/tags/berth-test/resources`, {
      resources: [{ resource_id: String(other.id), resource_type: "droplet" }],
    });
    await api.idle();
    expect([await reaches(node.public), await reaches(node.private)]).toEqual([true, true]);
  });

  it("answers at a reserved IP for as long as that is the droplet's", async () => {
    const { reserved_ip } = await call("POST", "/reserved_ips", { droplet_id: node.id });
    await api.idle();
    expect(await hostKeys(reserved_ip.ip)).toEqual([deriveSshKey(seed, "node-0").publicKey]);
    expect(await connects(reserved_ip.ip, 8000)).toBe("filtered");
    expect((await ssh(other, `curl -s -m 15 -o /dev/null http://${reserved_ip.ip}:8000/`)).code).toBe(0);
    await call("DELETE", `/reserved_ips/${reserved_ip.ip}`);
    await api.idle();
    // Something else than our droplet may answer there: the address is nobody's.
    expect(await hostKeys(reserved_ip.ip)).not.toContain(deriveSshKey(seed, "node-0").publicKey);
  });

  it("brings the data of a volume to another machine, and takes its new size", async () => {
    await on(node, "umount /mnt/data");
    await act(`/volumes/${volume}/actions`, { type: "detach", droplet_id: node.id });
    expect(await on(node, "ls /dev/disk/by-id; lsblk -n -r -o SERIAL | grep -x data || true")).toBe("");
    await act(`/volumes/${volume}/actions`, { type: "resize", size_gigabytes: 2 });
    await act(`/volumes/${volume}/actions`, { type: "attach", droplet_id: other.id });
    expect(await on(other, "lsblk -d -n -o SIZE /dev/disk/by-id/scsi-0DO_Volume_data")).toMatch(/^ *2G$/);
    await on(other, "mount -o ro /dev/disk/by-id/scsi-0DO_Volume_data-part1 /mnt && grep -x kept /mnt/file");
  });

  it("takes another size while it is off", async () => {
    const memory = async () =>
      Number(await must("docker", ["inspect", "-f", "{{.HostConfig.Memory}}", machines.container(node.id)]));
    expect(await memory()).toBe(2 ** 30);
    await act(`/droplets/${node.id}/actions`, { type: "power_off" });
    expect(await connects(node.public, 22)).not.toBe("open");
    await act(`/droplets/${node.id}/actions`, { type: "resize", size: "s-1vcpu-2gb", disk: false });
    await act(`/droplets/${node.id}/actions`, { type: "power_on" });
    await answersSsh(node);
    expect(await memory()).toBe(2 ** 31);
    expect(await addresses(node)).toBe(expected());
  });

  it("leaves nothing of a deleted droplet, and the volume to the next one", async () => {
    await call("DELETE", `/droplets/${other.id}`);
    await call("DELETE", `/droplets/${node.id}`);
    await api.idle();
    expect(machines.failures).toEqual([]);
    expect(await leftovers(NAME)).toEqual([
      `network berth-do-${NAME}-public`,
      expect.stringMatching(`^berth-do-${NAME}-volumes-`),
      `inet berth_test_do_${NAME}`,
    ]);
    const node2 = await boot("node-2", vpc, { volumes: [volume] });
    await finished(node2);
    await on(node2, "mount -o ro /dev/disk/by-id/scsi-0DO_Volume_data-part1 /mnt && grep -x kept /mnt/file");
    await call("DELETE", `/droplets/${node2.id}`);
    await api.idle();
    await call("DELETE", `/volumes/${volume}`);
    await api.idle();
    expect(machines.failures).toEqual([]);
  });

  it("says why a machine was not made, and leaves nothing of it", async () => {
    const body = { name: "node-3", region, size: "s-1vcpu-1gb", image: "ubuntu-24-04-x64" };
    const { droplet, links } = await call("POST", "/droplets", body);
    await api.idle();
    expect((await call("GET", `/actions/${links.actions[0].id}`)).action.status).toBe("errored");
    expect(machines.failures).toEqual([expect.stringContaining("only the image debian-13-x64 is played")]);
    await call("DELETE", `/droplets/${droplet.id}`);
    await api.idle();
    expect(machines.failures).toHaveLength(1);
  });

  it("takes no name that living machines have, and leaves them alone", async () => {
    await expect(startMachines({ name: NAME })).rejects.toThrow(`has test machines named ${NAME}`);
    expect(
      await must("docker", ["network", "ls", "-q", "--filter", `name=berth-do-${NAME}-public`]),
    ).not.toBe("");
  });

  it("removes what a killed run left", async () => {
    const mark = ["--label", "berth.test-digitalocean=killed"];
    const old = mkdtempSync(join(tmpdir(), "berth-do-killed-volumes-"));
    // No process has this number: the kernel's highest is 2^22.
    writeFileSync(join(old, "owner"), "9999999 1");
    writeFileSync(join(old, "a.img"), "");
    truncateSync(join(old, "a.img"), 2 ** 20);
    await must("losetup", ["-f", join(old, "a.img")]);
    await must("docker", ["volume", "create", ...mark, "berth-do-killed-1-docker"]);
    await must("docker", ["network", "create", ...mark, "berth-do-killed-public"]);
    expect(await leftovers("killed")).toHaveLength(4);
    await cleanUpMachines("killed");
    expect(await leftovers("killed")).toEqual([]);
  });
});
