/**
 * Makes the droplets of the test API real: each boots on this computer as a container with systemd, sshd and
 * cloud-init, with the addresses that the API reports, its volumes as disks and its cloud firewall before it.
 *
 * Needs: Linux, root, a Docker engine on this computer with CAP_SYS_ADMIN, loop devices and losetup, nftables in the
 * kernel. Footprint: per droplet 2 GiB of memory at most, four at most; one image of 0.3 GB that stays for the next run.
 *
 * Not played, and refused: other images than Debian 13, snapshots, rebuilding, IPv6 that is enabled later. Other than
 * there: no swap and no partition of the root disk (a container has neither), udev is a stand-in (`image/udevadm`),
 * `poweroff` inside a machine starts it again, and all disks of this computer are seen in `lsblk`, not in /dev.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Addresses, DropletEvent, DropletInfo, FirewallInfo, Hooks, VpcInfo } from "../world";
import { Pool, sixth } from "./addresses";
import { claim, folders } from "./claim";
import { docker, lines, must, run } from "./command";
import { make, type Place, remove, start, stop, unplug } from "./droplet";
import { renderRemoval, renderRuleset } from "./firewall";
import { dropletImage } from "./image";
import { containerName, dataName, label, type Naming, publicName, tableName, vpcName } from "./names";
import { releaseAll, Volumes } from "./volumes";

export interface MachinesOptions {
  /** Tells sets of machines apart; two with one name cannot be there at once. @default "1" */
  readonly name?: string;
  /** The public network; this computer has the first address. @default 10.93.0.0/24 */
  readonly publicRange?: string;
  /** A /64. @default fd00:93::/64 */
  readonly publicRange6?: string;
  /** MiB that a droplet gets at most, whatever its size has. @default 2048 */
  readonly memory?: number;
  /** Droplets at a time. @default 4 */
  readonly most?: number;
  /** Fills the volume that is to be a droplet's /var/lib/docker. @default it stays empty */
  readonly fill?: (volume: string) => Promise<void>;
}

export interface Machines {
  /** For `startApi`. */
  readonly hooks: Hooks;
  /** What went wrong in a hook; the API shows only that an action ended in error. */
  readonly failures: readonly string[];
  /** Name of the droplet's container. */
  container(dropletId: number): string;
  /** Runs a shell command as root inside the machine, past SSH and firewall; gives what it printed. */
  inside(dropletId: number, command: string): Promise<string>;
  /** Removes all of it. After `api.close()`, which waits for hooks that run. */
  close(): Promise<void>;
}

interface Machine {
  readonly droplet: Readonly<DropletInfo>;
  readonly place: Place;
}

interface Vpc {
  readonly network: string;
  readonly pool: Pool;
}

/**
 * Builds the image where it is missing, removes what a killed run left, and gives the hooks for the API.
 *
 * @example
 * const machines = await startMachines();
 * const api = await startApi({ hooks: machines.hooks });
 * // …
 * await api.close().finally(() => machines.close());
 */
export async function startMachines(options: MachinesOptions = {}): Promise<Machines> {
  const { name = "1", publicRange = "10.93.0.0/24", publicRange6 = "fd00:93::/64" } = options;
  const { memory = 2048, most = 4, fill } = options;
  const naming: Naming = { name };
  const { image, folder } = await cleaned(naming);
  const subnets = ["--subnet", publicRange, "--ipv6", "--subnet", publicRange6];
  try {
    await docker("network", "create", "--label", label(naming), ...subnets, publicName(naming));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }

  const volumes = new Volumes(naming, image, folder);
  const publicPool = new Pool(publicRange, 10);
  const vpcs = new Map<string, Vpc>();
  const machines = new Map<number, Machine>();
  const firewalls = new Map<string, { firewall: Readonly<FirewallInfo>; dropletIds: readonly number[] }>();
  const reserved = new Map<string, number>();
  const failures: string[] = [];

  const container = (dropletId: number) => containerName(naming, dropletId);

  let filtering: Promise<unknown> = Promise.resolve();
  /** Puts the rules in force that follow from what holds when its turn comes. */
  function filter(): Promise<void> {
    const turn = filtering.then(async () => {
      const held = [...machines.values()].map(({ droplet, place }) => ({
        dropletId: droplet.id,
        tags: droplet.tags,
        addresses: Object.values(place.addresses).filter((address) => address !== undefined),
      }));
      const leads = [...reserved].flatMap(([ip, id]): [string, string][] => {
        const address = machines.get(id)?.place.addresses.public;
        return address === undefined ? [] : [[ip, address]];
      });
      const rules = renderRuleset({
        table: tableName(naming),
        machines: held,
        firewalls: [...firewalls.values()],
        reserved: new Map(leads),
        publicRange,
      });
      await nft(naming, image, rules);
    });
    filtering = turn.catch(() => undefined);
    return turn;
  }

  let networking: Promise<unknown> = Promise.resolve();
  /** One after the other: a VPC's network is there from its first droplet to its last. */
  function network<T>(work: () => Promise<T>): Promise<T> {
    const turn = networking.then(work);
    networking = turn.catch(() => undefined);
    return turn;
  }

  /** A place in the VPC: its network, and an address there. */
  const enter = ({ id, ipRange }: Readonly<VpcInfo>) =>
    network(async () => {
      const vpc = vpcs.get(id) ?? { network: vpcName(naming, id), pool: new Pool(ipRange) };
      const address = vpc.pool.take();
      if (!vpcs.has(id)) {
        const subnet = ["--internal", "--label", label(naming), "--subnet", ipRange];
        await docker("network", "create", ...subnet, vpc.network);
        vpcs.set(id, vpc);
      }
      return { network: vpc.network, address };
    });

  const leave = (vpcId: string, address: string) =>
    network(async () => {
      const vpc = vpcs.get(vpcId);
      vpc?.pool.give(address);
      if (vpc === undefined || !vpc.pool.empty) return;
      vpcs.delete(vpcId);
      await docker("network", "rm", vpc.network);
    });

  async function create(droplet: Readonly<DropletInfo>, vpcInfo: Readonly<VpcInfo>): Promise<Addresses> {
    if (machines.size >= most)
      throw new Error(
        `${droplet.name} would be the ${most + 1}th droplet; ${most} are allowed at a time (most)`,
      );
    if (droplet.image.slug !== "debian-13-x64")
      throw new Error(`${droplet.name}: only the image debian-13-x64 is played, not ${droplet.image.slug}`);
    const address = droplet.publicNetworking ? publicPool.take() : undefined;
    const vpc = await enter(vpcInfo).catch((error) => {
      if (address !== undefined) publicPool.give(address);
      throw error;
    });
    const place: Place = {
      container: container(droplet.id),
      data: dataName(naming, droplet.id),
      label: label(naming),
      image,
      publicNetwork: publicName(naming),
      vpcNetwork: vpc.network,
      addresses: {
        public: address,
        public6: droplet.ipv6 && address !== undefined ? sixth(publicRange6, address) : undefined,
        private: vpc.address,
      },
    };
    const machine = { droplet, place };
    machines.set(droplet.id, machine);
    try {
      await make(place, droplet, memory, fill);
      // Closed before it can be reached.
      await filter();
      await start(place.container, droplet.size, memory);
    } catch (error) {
      await destroy(machine);
      throw error;
    }
    return place.addresses;
  }

  async function destroy({ droplet, place }: Machine): Promise<void> {
    machines.delete(droplet.id);
    for (const [ip, id] of reserved) if (id === droplet.id) reserved.delete(ip);
    await remove(place);
    if (place.addresses.public !== undefined) publicPool.give(place.addresses.public);
    await leave(droplet.vpc, place.addresses.private);
    await filter();
  }

  async function play(
    event: DropletEvent,
    droplet: Readonly<DropletInfo>,
    vpc: Readonly<VpcInfo>,
  ): Promise<Addresses | undefined> {
    if (event === "create") return create(droplet, vpc);
    const machine = machines.get(droplet.id);
    if (machine === undefined) {
      if (event === "destroy") return undefined;
      throw new Error(`${droplet.name} was never made`);
    }
    const { place } = machine;
    switch (event) {
      case "destroy":
        await destroy(machine);
        break;
      case "power_on":
        await start(place.container, droplet.size, memory);
        break;
      case "power_off":
        await stop(place.container);
        break;
      case "reboot":
        await stop(place.container);
        await start(place.container, droplet.size, memory);
        break;
      // A resize needs a droplet that is off, and shows when it is on again. A new name is the account's alone.
      case "resize":
      case "rename":
      case "enable_backups":
      case "disable_backups":
        break;
      default:
        throw new Error(`${event} is not played by the test machines`);
    }
    return undefined;
  }

  /** Keeps what went wrong, and lets it go on as it was. */
  async function noted<T>(what: string, work: () => Promise<T> | T): Promise<T> {
    try {
      return await work();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
      throw error;
    }
  }

  const hooks: Hooks = {
    onDroplet: (event, droplet, vpc) =>
      noted(`${event} droplet ${droplet.name}`, () => play(event, droplet, vpc)),
    onVolume: (event, volume, droplet) =>
      noted(`${event} volume ${volume.name}`, async () => {
        // A droplet that is deleted is off before it loses its disks.
        if (droplet.leaving && machines.has(droplet.id)) await unplug(container(droplet.id));
        await volumes[event](volume, container(droplet.id));
      }),
    onStorage: (event, volume, size) =>
      noted(`${event} volume ${volume.name}`, () => volumes[event](volume, size)),
    onFirewall: (event, firewall, dropletIds) =>
      noted(`${event} firewall ${firewall.name}`, () => {
        if (event === "delete") firewalls.delete(firewall.id);
        else firewalls.set(firewall.id, { firewall, dropletIds });
        return filter();
      }),
    onReservedIp: (ip, droplet) =>
      noted(`reserved IP ${ip}`, () => {
        if (droplet === undefined) reserved.delete(ip);
        else reserved.set(ip, droplet.id);
        return filter();
      }),
  };

  return {
    hooks,
    failures,
    container,
    inside: (dropletId, command) => docker("exec", container(dropletId), "bash", "-c", command),
    close: () => cleanUp(naming, image),
  };
}

const nft = (naming: Naming, image: string, rules: string): Promise<string> =>
  // The image's nft, in this computer's own network: nothing has to be installed here.
  must(
    "docker",
    [
      ...["run", "--rm", "--interactive", "--network", "host", "--label", label(naming)],
      ...["--cap-drop", "ALL", "--cap-add", "NET_ADMIN", image, "nft", "-f", "-"],
    ],
    { input: rules },
  );

/** Takes the name, and removes what a killed run left under it. */
async function cleaned(naming: Naming): Promise<{ image: string; folder: string }> {
  if (!/^[a-z0-9]{1,12}$/.test(naming.name))
    throw new Error(`the name ${naming.name} is not 1 to 12 of a-z and 0-9`);
  if (process.getuid?.() !== 0)
    throw new Error("the test machines need root: for loop devices and device nodes");
  await bridgesAreFiltered();
  const folder = claim(naming);
  try {
    const image = await dropletImage();
    await cleanUp(naming, image, folder);
    return { image, folder };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Packets between two machines of one network pass the firewall only with this module of the kernel. */
async function bridgesAreFiltered(): Promise<void> {
  const values = () =>
    ["iptables", "ip6tables"].map((family) => {
      const file = `/proc/sys/net/bridge/bridge-nf-call-${family}`;
      return existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    });
  if (values().includes("")) await run("modprobe", ["br_netfilter"]);
  if (values().some((value) => value !== "1"))
    throw new Error(
      "the test machines' firewall needs: modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
    );
}

/**
 * Removes everything that carries this set's label or name, whoever made it, but the folder to keep. Tries all of
 * it, then says what failed.
 */
async function cleanUp(naming: Naming, image: string, keep?: string): Promise<void> {
  const errors: string[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error));
    }
  };
  const filter = ["--filter", `label=${label(naming)}`];
  const listed = async (...args: string[]) => lines(await docker(...args, ...filter));
  await attempt(async () => {
    const ids = await listed("ps", "--all", "--quiet");
    if (ids.length > 0) await docker("rm", "--force", "--volumes", ...ids);
  });
  await attempt(async () => {
    const names = await listed("volume", "ls", "--quiet");
    if (names.length > 0) await docker("volume", "rm", ...names);
  });
  await attempt(async () => {
    const ids = await listed("network", "ls", "--quiet");
    if (ids.length > 0) await docker("network", "rm", ...ids);
  });
  const old = folders(naming).filter((folder) => folder !== keep);
  await attempt(async () => {
    await releaseAll(old);
    for (const folder of old) rmSync(folder, { recursive: true, force: true });
  });
  await attempt(() => nft(naming, image, renderRemoval(tableName(naming))));
  if (errors.length > 0) throw new Error(`the test machines were not removed whole:\n${errors.join("\n")}`);
}

/** Removes what a killed run of `startMachines` left. @param name as there */
export async function cleanUpMachines(name = "1"): Promise<void> {
  const { folder } = await cleaned({ name });
  rmSync(folder, { recursive: true });
}
