/** One droplet as a container with systemd as its first process, as a local node is one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { machineFlags } from "../../../lib/node";
import { until } from "../../../lib/until";
import { type DropletInfo, sizes } from "../world";
import { docker, must, run } from "./command";

export interface Place {
  readonly container: string;
  /** Docker volume with the machine's own Docker data. */
  readonly data: string;
  readonly label: string;
  readonly image: string;
  /** Names of Docker networks. */
  readonly publicNetwork: string;
  readonly vpcNetwork: string;
  readonly addresses: { readonly public?: string; readonly public6?: string; readonly private: string };
}

/** What `docker` takes as a size's share of this computer. @param most MiB of memory that a droplet gets at most */
function share(slug: string, most: number): string[] {
  const size = sizes.find((candidate) => candidate.slug === slug);
  if (size === undefined) throw new Error(`the catalog has no size ${slug}`);
  const memory = `${Math.min(size.memory, most)}m`;
  return [
    "--memory",
    memory,
    "--memory-swap",
    memory,
    "--cpus",
    `${Math.min(size.vcpus, availableParallelism())}`,
  ];
}

function creation(place: Place, droplet: Readonly<DropletInfo>, most: number): string[] {
  const { addresses } = place;
  const network =
    addresses.public === undefined
      ? ["--network", place.vpcNetwork, "--ip", addresses.private]
      : ["--network", place.publicNetwork, "--ip", addresses.public];
  if (addresses.public6 !== undefined) network.push("--ip6", addresses.public6);
  return [
    // The image's own name: the droplet's comes by cloud-init.
    ...["create", "--name", place.container, "--hostname", "debian", "--label", place.label, ...network],
    ...machineFlags(place.data),
    // Loop devices and their partitions, which have the block extended major: volumes come and go while it runs.
    ...["--device-cgroup-rule", "b 7:* rwm", "--device-cgroup-rule", "b 259:* rwm"],
    // What is restarted from inside comes up again, as a droplet does.
    ...["--restart", "unless-stopped", "--stop-signal", "SIGRTMIN+3", "--stop-timeout", "30"],
    ...["--log-opt", "max-size=5m", ...share(droplet.size, most), place.image],
  ];
}

/** NoCloud's seed: what DigitalOcean's configuration drive says to cloud-init. */
export function seed(droplet: Readonly<DropletInfo>): Record<string, string> {
  return {
    "meta-data": `${JSON.stringify({
      "instance-id": String(droplet.id),
      "local-hostname": droplet.name,
      "public-keys": droplet.sshKeys.map(({ publicKey }) => publicKey),
    })}\n`,
    "user-data": droplet.userData,
    // The beginning of the vendor data in the documentation of the metadata service.
    "vendor-data": "#cloud-config\ndisable_root: false\nmanage_etc_hosts: true\n",
  };
}

/** Copies files into the container, which may run or not. The folder must be there, of the image or of the copy. */
export async function put(container: string, folder: string, files: Record<string, string>): Promise<void> {
  const at = mkdtempSync(join(tmpdir(), "berth-do-seed-"));
  try {
    const name = folder.slice(folder.lastIndexOf("/") + 1);
    mkdirSync(join(at, name), { mode: 0o755 });
    for (const [file, content] of Object.entries(files))
      writeFileSync(join(at, name, file), content, { mode: 0o600 });
    await docker("cp", join(at, name), `${container}:${folder.slice(0, folder.lastIndexOf("/") + 1)}`);
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

/** Makes the machine without starting it. @param fill puts something into the volume with its Docker data */
export async function make(
  place: Place,
  droplet: Readonly<DropletInfo>,
  most: number,
  fill?: (volume: string) => Promise<void>,
): Promise<void> {
  await docker("volume", "create", "--label", place.label, place.data);
  await fill?.(place.data);
  await docker(...creation(place, droplet, most));
  const { addresses } = place;
  if (addresses.public !== undefined)
    await docker("network", "connect", "--ip", addresses.private, place.vpcNetwork, place.container);
  await put(place.container, "/var/lib/cloud/seed/nocloud", seed(droplet));
  const network = [
    `PUBLIC=${addresses.public ?? ""}`,
    `PUBLIC6=${addresses.public6 ?? ""}`,
    `PRIVATE=${addresses.private}`,
    "",
  ].join("\n");
  await put(place.container, "/etc/droplet", { network, volumes: "" });
}

/** Starts it with what its size gives it, which a resize may have changed while it was off. */
export async function start(container: string, size: string, most: number): Promise<void> {
  await docker("update", ...share(size, most), container);
  await docker("start", container);
  await until(`${container} has systemd`, 30_000, async () => {
    if (await hasSystemd(container)) return true;
    const { stdout, stderr } = await run("docker", ["logs", "--tail", "20", container]);
    throw new Error(`its log ends with\n${stdout}${stderr}`);
  });
}

/** Whether what came before it went well; see image/init. */
async function hasSystemd(container: string): Promise<boolean> {
  const { code, stdout } = await run("docker", ["exec", container, "cat", "/proc/1/comm"]);
  return code === 0 && stdout.trim() === "systemd";
}

/** As a pulled plug. */
export const unplug = (container: string): Promise<string> => docker("stop", "-t", "0", container);

/** As a press on the button, and after 30 s as the pulled plug. */
export const stop = (container: string): Promise<string> =>
  must("docker", ["stop", "-t", "30", container], { seconds: 90 });

/** Removes the machine with its disk; the ones that are not there are no error. */
export async function remove(place: Pick<Place, "container" | "data">): Promise<void> {
  await docker("rm", "--force", "--volumes", place.container);
  await docker("volume", "rm", "--force", place.data);
}

export async function isRunning(container: string): Promise<boolean> {
  return (await docker("inspect", "--format", "{{.State.Running}}", container)) === "true";
}
