/** @file A real node for tests: a container with systemd, made like a local node of a stack, and SSH into it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MACHINE } from "../../components/node/local-machine";
import { policyFlags } from "./container-flags";
import { buildImage, docker, removeThings } from "./docker";
import { run } from "./run";
import { SshMachine } from "./ssh-machine";
import { MINUTE, SECOND } from "./time";
import { until } from "./until";

/** What the docker command is given to create a container that is a machine, as components/node/local.ts makes it. */
export function machineFlags(dockerData: string): string[] {
  return [
    ...policyFlags("node"),
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

export class TestNode extends SshMachine {
  /** Holds its Docker data. */
  readonly volume: string;

  constructor(protected readonly of: TestNodeOptions) {
    // Short: the path of a socket may have about a hundred characters.
    super({ ...of, folder: of.folder ?? mkdtempSync(join(tmpdir(), "berth-node-")) });
    this.volume = `${of.name}-docker`;
  }

  /** @param image another one than the node image, such as one that a node was saved as */
  async start(image?: string): Promise<void> {
    const { hostname, network, address, address6, memory = "2g", cpus, mounts = [] } = this.of;
    const ref = image ?? (await buildImage("node")).ref;
    await ensureNetwork(network);
    this.prepareKeys();
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

  private reachable(deadline: number): Promise<boolean> {
    const look = async () => (await this.ssh("true", { deadline: 10 * SECOND })).code === 0;
    return until(`SSH to ${this.name}`, deadline, look);
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

  /** Removes the node, also one that a killed run left; its network stays while others are in it. */
  async cleanUp(): Promise<void> {
    await removeThings({ containers: [this.name], volumes: [this.volume], networks: [this.of.network.name] });
  }
}
