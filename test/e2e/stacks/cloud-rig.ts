/**
 * @file A stack of droplets for the end-to-end test: DigitalOcean's test API, whose droplets are machines on this
 * computer, and clients that come from outside.
 */
import { execFileSync, spawn } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { type Api, startApi } from "../../fakes/digitalocean";
import { type Machines, startMachines } from "../../fakes/digitalocean/machines";
import { sshArgs } from "../../lib/ssh";
import { type Configuration, childrenOf, TestStack } from "../../lib/stack";
import { fillStore, prepareStore } from "../../lib/stores";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";

export const STACK = "cloud-e2e";

/** DigitalOcean as it is for one test file. */
export interface Cloud {
  api: Api;
  machines: Machines;
  stack: TestStack;
  close(): Promise<void>;
}

export async function startCloud(): Promise<Cloud> {
  await prepareStore();
  const machines = await startMachines({
    name: "clouds",
    memory: 5 * 1024,
    publicRange: "10.96.128.0/24",
    publicRange6: "fd00:96:128::/64",
    fill: fillStore,
  });
  const api = await startApi({ hooks: machines.hooks });
  const stack = new TestStack(STACK, {
    DIGITALOCEAN_TOKEN: api.token,
    DIGITALOCEAN_API_URL: api.url,
  });
  return {
    api,
    machines,
    stack,
    close: () => api.close().finally(() => machines.close()),
  };
}

/** Where this computer comes from when it asks a reserved address: the address of its own uplink. */
function uplink(): string {
  const said = execFileSync("ip", ["-4", "route", "get", "198.19.0.1"], { encoding: "utf8" });
  const source = / src (\S+)/.exec(said)?.[1];
  if (!source) throw new Error(`this computer has no way to 198.19.0.1: ${said}`);
  return source;
}

export const droplet = (n: number, role: "head" | "worker", more: Configuration = {}): Configuration => ({
  kind: "digitalocean",
  name: `drop-${n}`,
  role,
  size: "s-4vcpu-8gb",
  cpus: 2,
  memory: "4GiB",
  ...more,
});

/** The configuration to begin with: homes on a volume, a reserved address, IPv6 on one. */
export function configuration(): Configuration {
  const data = { name: "data", size: "2GiB", mount: "/mnt/storage" };
  return {
    "berth:nodes": [
      droplet(0, "head", { volumes: [data], reservedIp: true }),
      droplet(1, "worker", { ipv6: true, size: "s-2vcpu-4gb" }),
    ],
    "berth:users": [{ name: "alice", node: "drop-0", index: 0 }],
    "berth:digitalocean": {
      region: "fra1",
      vpcCidr: "10.97.0.0/24",
      project: "cluster",
      tags: ["research"],
      // The addresses that this computer has towards the machines.
      allowSshFrom: ["10.96.128.1", "10.97.0.1", "fd00:96:128::1", uplink()],
    },
    "berth:firewall": { allowUsers: ["10.97.0.0/24"] },
    "berth:ray": { memory: "1536MiB", cpus: 2 },
    "berth:workspaces": { memory: "1GiB", cpus: 1 },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

export interface OutputNode {
  name: string;
  address: string;
  privateAddress: string;
}

export async function nodes(stack: TestStack): Promise<OutputNode[]> {
  return Object.values(JSON.parse(await stack.pulumi(["stack", "output", "nodes", "--json"])));
}

/** Runs a script on a machine as the operator, with the host key that the stack wrote down. */
export async function onNode(
  stack: TestStack,
  node: OutputNode,
  script: string,
  { key = join(stack.folder, "id_ed25519") } = {},
): Promise<string> {
  const args = sshArgs({ address: node.address, key, knownHosts: join(stack.folder, "known_hosts") });
  const ran = await stack.ok("ssh", [...args, "bash", "-s"], {
    input: `set -eu\n${script}\n`,
    deadline: 3 * MINUTE,
  });
  return ran.stdout.trim();
}

/** Runs a command in a user's workspace, over SSH and through the node, as its ports are on the private address. */
export async function inWorkspace(
  stack: TestStack,
  user: { name: string; host: string; port: number },
  command: string,
): Promise<string> {
  const args = sshArgs({
    address: user.host,
    port: user.port,
    user: user.name,
    key: join(stack.folder, `user-${user.name}`),
    knownHosts: join(stack.folder, "known_hosts"),
  });
  return (await stack.ok("ssh", [...args, command], { deadline: MINUTE })).stdout.trim();
}

/**
 * Names of the nodes that a task ran on, each asked for by its own resource, sorted.
 *
 * @param head the node that is asked; @param key the private key that opens it, where it is not the stack's own.
 */
export async function rayNodes(stack: TestStack, head: string, key?: string): Promise<string[]> {
  const all = await nodes(stack);
  const script = `
ray=$(docker ps -q --filter label=berth.component=ray)
docker exec -i "$ray" python3 - <<'PYTHON'
import json, os, ray
ray.init(address=os.environ["BERTH_RAY_HEAD"], log_to_driver=False)
@ray.remote(num_cpus=0.1)
def where():
    return json.loads(os.environ["BERTH_RAY_RESOURCES"])
names = ${JSON.stringify(all.map(({ name }) => name))}
found = ray.get([where.options(resources={"node_" + name: 0.1}).remote() for name in names], timeout=120)
print("RAN", *sorted(key[5:] for one in found for key in one))
PYTHON`;
  const node = all.find(({ name }) => name === head);
  if (!node) throw new Error(`no node ${head} among the outputs`);
  const said = await onNode(stack, node, script, key === undefined ? {} : { key });
  return /^RAN (.*)$/m.exec(said)?.[1]?.split(" ") ?? [];
}

/** True when something takes the connection. */
function opens(host: string, port: number, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (open: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(open);
    };
    const timer = setTimeout(() => end(false), milliseconds);
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

/** How many are asked at once; Node.js has as many files open as the system lets it. */
const WIDTH = 2000;

/** Every TCP port of these that takes a connection from this computer; what is silent for half a second is shut. */
export async function scan(host: string, ports: readonly number[]): Promise<number[]> {
  const open: number[] = [];
  const left = [...new Set(ports)];
  await Promise.all(
    Array.from({ length: WIDTH }, async () => {
      for (let port = left.pop(); port !== undefined; port = left.pop())
        if (await opens(host, port, SECOND / 2)) open.push(port);
    }),
  );
  return open.sort((a, b) => a - b);
}

export const ALL_PORTS = Array.from({ length: 65535 }, (_, i) => i + 1);

/** Ports that anything listens on inside the machine, published ones too: no other can be open. */
export async function listening(stack: TestStack, node: OutputNode): Promise<number[]> {
  const said = await onNode(stack, node, "ss -Htln | awk '{print $4}'");
  return [...new Set(said.split("\n").map((line) => Number(line.slice(line.lastIndexOf(":") + 1))))];
}

/** Rejects when it takes longer. */
async function within(what: string, deadline: number, work: Promise<void>): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error(`${what}: not within ${deadline / SECOND} s`)),
    deadline,
  );
  const aborted = new Promise<never>((_, reject) => {
    late.signal.addEventListener("abort", () => reject(late.signal.reason));
  });
  await Promise.race([work, aborted]).finally(() => clearTimeout(timer));
}

/**
 * Starts an `up` and kills it and all that it started, with SIGKILL, once `enough` says so.
 *
 * @returns false when it ended by itself before.
 */
export async function killedUp(stack: TestStack, enough: (created: number) => boolean): Promise<boolean> {
  const child = spawn(
    process.execPath,
    ["scripts/pulumi.mjs", "up", "--stack", stack.stack, "--yes", "--skip-preview"],
    { cwd: join(__dirname, "..", "..", ".."), env: stack.env, stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  const reached = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (part: string) => {
        said += part;
        // At once: on a quiet computer a dozen more are made in the second of a poll.
        if (enough(said.match(/ (created|updated) \(/g)?.length ?? 0)) resolve();
      });
  });
  await within("the point at which to kill", 20 * MINUTE, reached);
  if (child.exitCode !== null) {
    if (child.exitCode !== 0)
      throw new Error(`up ended by itself with ${child.exitCode}:\n${said.slice(-3000)}`);
    return false;
  }
  const all = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(all)];
  for (const pid of childrenOf(child.pid ?? 0).flatMap(all)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
  await until("the script's end", MINUTE, async () => child.exitCode !== null);
  return true;
}
