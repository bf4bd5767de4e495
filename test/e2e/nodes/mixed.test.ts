/**
 * One cluster of two servers that somebody else had set up, a droplet and a local node.
 *
 * Proves: Ray runs a task on each; the servers' own account, file system and running container (same id, start time
 * and process) are as they were after `up` and after `destroy`, and nothing of Berth's is left on them then. One of them
 * is signed in to by an RSA key in PKCS#8, as cloud consoles give them out. A node's declared GPUs can all be taken out.
 * Does not prove: a way between the sites, which is the operator's; here this computer routes between the networks.
 *
 * Needs root and a Docker engine on this computer.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, startApi } from "../../fakes/digitalocean";
import { type Machines, startMachines } from "../../fakes/digitalocean/machines";
import { OldServer } from "../../lib/old-server";
import { type Configuration, TestStack } from "../../lib/stack";
import { fillLocalNode, fillStore, prepareStore } from "../../lib/stores";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import { nodes, onNode, rayNodes } from "../stacks/cloud-rig";

const STACK = "mixed-e2e";
const GPUS = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB" }];
/** All networks of the test lie in it. */
const SITE = "10.92.0.0/16";
const VPC = "10.92.3.0/24";
const SERVERS = ["10.92.2.10", "10.92.2.11"] as const;

/** Docker keeps its networks apart and hides one from the other; here they are sites that see each other. */
const ROUTES: readonly (readonly string[])[] = [
  ["-t", "filter", "DOCKER-USER", "-s", SITE, "-d", SITE, "-j", "ACCEPT"],
  ["-t", "nat", "POSTROUTING", "-s", SITE, "-d", SITE, "-j", "ACCEPT"],
];

function route(action: "-I" | "-D"): void {
  for (const [flag = "", table = "", chain = "", ...rule] of ROUTES) {
    try {
      execFileSync("iptables", ["-w", "10", flag, table, action, chain, ...rule], { stdio: "pipe" });
    } catch (error) {
      if (action === "-I") throw error; // What is not there need not go.
    }
  }
}

const servers = SERVERS.map(
  (address, i) =>
    new OldServer({
      name: `berth-mixed-server-${i}`,
      hostname: `old-server-${i}`,
      network: "berth-mixed-servers",
      subnet: "10.92.2.0/24",
      address,
      memoryGiB: 4,
      fill: fillStore,
    }),
);
let machines: Machines;
let api: Api;
let stack: TestStack;
let before: string[] = [];

/** The key files of the configuration, by server. */
const keyFiles = () => servers.map(({ folder, keyFile }, i) => (i === 1 ? join(folder, "pkcs8") : keyFile));

/** Makes the second server's key of the other kind, and lets it in. */
async function bringForeignKey(): Promise<void> {
  const [, file = ""] = keyFiles();
  execFileSync("ssh-keygen", ["-q", "-t", "rsa", "-m", "PKCS8", "-N", "", "-f", file]);
  const line = readFileSync(`${file}.pub`, "utf8").trim();
  await servers[1]?.onNode(`printf '%s\\n' '${line}' >>/root/.ssh/authorized_keys`);
}

function configuration(): Configuration {
  const common = { cpus: 2, memory: "4GiB" };
  const metal = SERVERS.map((address, i) => ({
    ...common,
    name: `metal-${i}`,
    kind: "baremetal",
    role: i === 0 ? "head" : "worker",
    address: `${address}:${address}`,
    hostKey: servers[i]?.hostKey,
    keyFile: keyFiles()[i],
  }));
  return {
    "berth:nodes": [
      ...metal,
      { ...common, name: "drop-0", kind: "digitalocean", role: "worker", size: "s-4vcpu-8gb" },
      { ...common, name: "node-0", kind: "local", role: "worker", address: "10.92.1.10", gpus: GPUS },
    ],
    "berth:network": { cidr: "10.92.1.0/24" },
    "berth:registryPort": 5941,
    "berth:digitalocean": { region: "fra1", vpcCidr: VPC, allowSshFrom: [SITE] },
    "berth:firewall": { allowSsh: [SITE] },
    // The servers are containers with one and a half CPUs.
    "berth:ray": { memory: "1536MiB", cpus: 1 },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

beforeAll(async () => {
  for (const server of servers) await server.cleanUp();
  route("-D");
  route("-I");
  machines = await startMachines({
    name: "mixed",
    memory: 4096,
    publicRange: "10.92.128.0/24",
    publicRange6: "fd00:92:128::/64",
    fill: fillStore,
  });
  api = await startApi({ hooks: machines.hooks });
  stack = new TestStack(STACK, { DIGITALOCEAN_TOKEN: api.token, DIGITALOCEAN_API_URL: api.url });
  await prepareStore();
  await fillLocalNode(STACK, "node-0");
  await Promise.all(servers.map((server) => server.start()));
  await bringForeignKey();
  before = await Promise.all(servers.map((server) => server.ownThings()));
  stack.removeHome();
  stack.makeHome();
  stack.writeConfiguration(configuration());
}, 20 * MINUTE);

afterAll(async () => {
  if (machines?.failures.length) console.error(machines.failures.join("\n"));
  await api?.close().finally(() => machines.close());
  for (const server of servers) {
    await server.cleanUp();
    await server.removeFiles();
  }
  await stack?.removeLeftovers();
  route("-D");
}, 5 * MINUTE);

/** The droplet's way to the other sites, which a network of its owner would give it. */
async function giveWay(): Promise<void> {
  const id = await until("the droplet", 10 * MINUTE, async () => {
    const [droplet] = [...api.state.droplets.values()];
    return droplet?.privateAddress !== undefined && droplet.status === "active" ? droplet.id : false;
  });
  await machines.inside(id, `ip route replace ${SITE} via 10.92.3.1 dev eth1`);
  // Docker puts a rule before ours with each network that it makes; by now all are there.
  route("-D");
  route("-I");
}

const untouched = async () => {
  expect(await Promise.all(servers.map((server) => server.ownThings()))).toEqual(before);
};

describe("a cluster of servers, a droplet and a local node", () => {
  it("says before what it will find and change on the servers", { timeout: 5 * MINUTE }, async () => {
    expect(readFileSync(keyFiles()[1] ?? "", "utf8")).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const look = ["scripts/preflight.mjs", "--stack", STACK, "--json"];
    const { nodes } = JSON.parse((await stack.ok(process.execPath, look, { deadline: 3 * MINUTE })).stdout);
    expect(nodes).toEqual(
      ["metal-0", "metal-1"].map((node) =>
        expect.objectContaining({ node, state: "adoptable", problems: [], omitted: [] }),
      ),
    );
    for (const { found } of nodes) {
      expect(found.docker.running).toBe(1);
      expect(found.willChange).toContainEqual(expect.stringContaining("/etc/docker/daemon.json"));
    }
    await untouched();
  });

  it("comes up, and leaves what others had on the servers as it was", { timeout: 40 * MINUTE }, async () => {
    await Promise.all([stack.up(["--skip-preview"]), giveWay()]);
    await untouched();
  });

  it("forgets all GPUs that a node was said to have, and then has nothing to do", {
    timeout: 10 * MINUTE,
  }, async () => {
    const local = (await nodes(stack)).find(({ name }) => name === "node-0");
    const pool = async () => JSON.parse(await onNode(stack, local as never, "berth declared show"));
    expect((await pool()).inventory.gpus).toHaveLength(1);
    stack.edit((config) => {
      delete config["berth:nodes"][3].gpus;
    });
    await stack.up(["--skip-preview"]);
    const { inventory, closed } = await pool();
    expect([inventory.gpus, closed]).toEqual([[], undefined]);
    await stack.nothingToDo();
  });

  it("runs a Ray task on each node", { timeout: 5 * MINUTE }, async () => {
    expect(await rayNodes(stack, "metal-0", servers[0]?.keyFile)).toEqual([
      "drop-0",
      "metal-0",
      "metal-1",
      "node-0",
    ]);
  });

  it("takes away what is Berth's, and nothing else", { timeout: 20 * MINUTE }, async () => {
    const all = await nodes(stack);
    const [first] = all.filter(({ name }) => name === "metal-0");
    expect(await onNode(stack, first as never, "ls /etc/berth", { key: servers[0]?.keyFile })).not.toBe("");
    const ran = await stack.berth("destroy", ["--yes"]);
    expect(ran.code, ran.text.slice(-3000)).toBe(0);
    await untouched();
    for (const server of servers) expect(await server.traces()).toBe("");
    expect(api.state.droplets.size).toBe(0);
  });
});
