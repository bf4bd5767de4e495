/** @file A real node for tests: a container with systemd, made like a local node of a stack, and SSH into it. */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFacts } from "../../components/host/stage";
import { MACHINE } from "../../components/node/local-machine";
import { buildImage, docker, removeThings } from "./docker";
import { must, type Ran, run } from "./run";
import { sshArgs } from "./ssh";
import { MINUTE, SECOND } from "./time";
import { until } from "./until";

/** What the docker command is given to create a container that is a machine, as components/node/local.ts makes it. */
export function machineFlags(dockerData: string): string[] {
  return [
    ...["--cgroupns", MACHINE.cgroupns, "--cap-drop", "ALL"],
    ...MACHINE.capabilities.flatMap((name) => ["--cap-add", name]),
    ...MACHINE.securityOptions.flatMap((option) => ["--security-opt", option]),
    ...MACHINE.devices.flatMap((path) => ["--device", path]),
    ...Object.entries(MACHINE.tmpfs).flatMap(([path, options]) => ["--tmpfs", `${path}:${options}`]),
    ...["--mount", `type=volume,source=${dockerData},target=${MACHINE.dockerData}`],
  ];
}

/** Two files of tests that have a network, a subnet or a name in common cannot run at the same time. */
export interface TestNetwork {
  name: string;
  /** An IPv4 one, and an IPv6 one or none. */
  subnets: readonly string[];
}

let networks: Promise<void> = Promise.resolve();

/** One after the other: machines that start at the same time may be the first in one network. */
export function ensureNetwork(network: TestNetwork): Promise<void> {
  const made = networks.then(() => makeNetwork(network));
  networks = made.catch(() => {});
  return made;
}

async function makeNetwork({ name, subnets }: TestNetwork): Promise<void> {
  if ((await run("docker", ["network", "inspect", name])).code === 0) return;
  const ipv6 = subnets.some((subnet) => subnet.includes(":")) ? ["--ipv6"] : [];
  await docker("network", "create", ...ipv6, ...subnets.flatMap((subnet) => ["--subnet", subnet]), name);
}

export interface TestNodeOptions {
  /** Of its container. */
  name: string;
  hostname: string;
  /** Made with the node where it is not there. */
  network: TestNetwork;
  address: string;
  address6?: string;
  /** @default "2g" */
  memory?: string;
  /** @default no limit */
  cpus?: string;
  /** Fills the volume with its Docker data before the node is made. @default it begins empty */
  fill?: (volume: string) => Promise<void>;
  /** More mounts, as `docker create --volume` takes them. */
  mounts?: readonly string[];
  /** With the keys: `id`, `hostkey`, `known_hosts`. Nodes of one folder share their keys. @default one of its own */
  folder?: string;
  /**
   * False: each command makes a connection of its own. For tests that prove SSH, a firewall or what an update of
   * sshd does: a connection that stays open would hide that no new one can be made. @default true
   */
  multiplex?: boolean;
}

export interface Command {
  /** Milliseconds. @default ten minutes */
  deadline?: number;
  input?: string;
  /** @default "root" */
  user?: string;
}

export class TestNode {
  readonly name: string;
  readonly address: string;
  readonly folder: string;
  /** Holds its Docker data. */
  readonly volume: string;

  constructor(protected readonly of: TestNodeOptions) {
    this.name = of.name;
    this.address = of.address;
    this.volume = `${of.name}-docker`;
    // Short: the path of a socket may have about a hundred characters.
    this.folder = of.folder ?? mkdtempSync(join(tmpdir(), "berth-node-"));
  }

  /** The private key that opens it; once it was started. */
  get keyFile(): string {
    return join(this.folder, "id");
  }

  /** `ssh-ed25519 BASE64`; once it was started. */
  get hostKey(): string {
    return readFileSync(join(this.folder, "hostkey.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  }

  /** @param image another one than the node image, such as one that a node was saved as */
  async start(image?: string): Promise<void> {
    const { hostname, network, address, address6, memory = "2g", cpus, mounts = [] } = this.of;
    const ref = image ?? (await buildImage("node")).ref;
    await ensureNetwork(network);
    this.makeKeys();
    if (this.of.fill) {
      await docker("volume", "create", this.volume);
      await this.of.fill(this.volume);
    }
    await docker(
      ...["create", "--name", this.name, "--hostname", hostname, "--network", network.name],
      ...["--ip", address, ...(address6 ? ["--ip6", address6] : [])],
      ...machineFlags(this.volume),
      ...mounts.flatMap((mount) => ["--volume", mount]),
      ...["--memory", memory, "--memory-swap", memory, ...(cpus ? ["--cpus", cpus] : []), ref],
    );
    await docker("cp", join(this.folder, "hostkey"), `${this.name}:/etc/ssh/ssh_host_ed25519_key`);
    await docker("cp", `${this.keyFile}.pub`, `${this.name}:/root/.ssh/authorized_keys`);
    await docker("start", this.name);
    // The copies belong to whoever runs the tests.
    await this.exec("chown", "0:0", "/root/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key");
    await this.exec("chmod", "0600", "/root/.ssh/authorized_keys");
    await this.reachable(MINUTE);
  }

  private makeKeys(): void {
    for (const file of [this.keyFile, join(this.folder, "hostkey")]) {
      if (!existsSync(file)) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);
    }
    appendFileSync(join(this.folder, "known_hosts"), `${this.address} ${this.hostKey}\n`);
  }

  private reachable(deadline: number): Promise<boolean> {
    const look = async () => (await this.ssh("true", { deadline: 10 * SECOND })).code === 0;
    return until(`SSH to ${this.name}`, deadline, look);
  }

  /** What `ssh` is called with to run this on the node. */
  sshArgs(command: string, user = "root"): string[] {
    return [...this.sshTarget(user), command];
  }

  private sshTarget(user = "root"): string[] {
    const { folder, keyFile: key, address } = this;
    const shared = (this.of.multiplex ?? true) ? { shared: folder } : {};
    return sshArgs({ address, user, key, knownHosts: join(folder, "known_hosts"), ...shared });
  }

  ssh(command: string, { user, deadline = 10 * MINUTE, input }: Command = {}): Promise<Ran> {
    return run("ssh", this.sshArgs(command, user), { deadline, ...(input === undefined ? {} : { input }) });
  }

  /** Standard output of a command that ends well. */
  async onNode(command: string, { user, deadline = 10 * MINUTE }: Command = {}): Promise<string> {
    return (await must("ssh", this.sshArgs(command, user), { deadline })).stdout;
  }

  /** Runs a host stage as the command provider does, and gives its facts. */
  async stage(text: string, input?: string): Promise<ReturnType<typeof parseFacts>> {
    const { code, stdout, stderr } = await this.ssh(text, input === undefined ? {} : { input });
    if (code !== 0 || stderr !== "") throw new Error(`a stage on ${this.name} ended with ${code}: ${stderr}`);
    return parseFacts(stdout);
  }

  /** Runs a command without SSH. */
  exec(...command: string[]): Promise<string> {
    return docker("exec", this.name, ...command);
  }

  /** Restarts the machine, and waits until SSH lets in again. @param seconds that its services may take to end */
  async restart(seconds: number): Promise<void> {
    await this.hangUp();
    await docker("restart", "--time", String(seconds), this.name);
    await this.reachable(90 * SECOND);
  }

  /** Ends the shared connection: one that the node's end cuts off would keep later commands waiting. */
  private async hangUp(): Promise<void> {
    if (this.of.multiplex ?? true) await run("ssh", ["-O", "exit", ...this.sshTarget()]);
  }

  /** Removes the node, also one that a killed run left; its network stays while others are in it. */
  async cleanUp(): Promise<void> {
    await removeThings({ containers: [this.name], volumes: [this.volume], networks: [this.of.network.name] });
  }

  /** Removes the keys, after the last command. */
  async removeFiles(): Promise<void> {
    if (existsSync(this.keyFile)) await this.hangUp();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
