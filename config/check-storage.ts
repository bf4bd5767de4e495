import { isHost, isInterfaceAddress } from "./addresses";
import { isIpv4, isIpv6Cidr, parseCidr } from "./net";
import type { Report } from "./problems";
import { resolveStorage, storagePath } from "./resolve";
import type { NodeConfig, StackConfig } from "./schema";
import { parseSize } from "./schema-base";
import type { QuotaConfig, StorageConfig } from "./schema-storage";

/** Storage and fast networks: what each part says alone, and what all mounts of one node say together. Pure. */

/** Nothing may be mounted on these nor below them: the system lives there. */
const SYSTEM_TREES =
  "/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /lost+found /proc /root /run /sbin /sys /tmp /usr".split(
    " ",
  );
/** Nor on these; below them it is fine. */
const SYSTEM_FOLDERS = new Set(["/", "/home", "/media", "/mnt", "/opt", "/srv"]);
/** All that may be mounted below /var. */
const IN_VAR = new Set(["/var/lib/docker", "/var/lib/containerd"]);

/** What is wrong with a mount point, or undefined. */
export function mountProblem(path: string): string | undefined {
  const parts = path.split("/").slice(1);
  if (!/^(\/[A-Za-z0-9._-]+)+$/.test(path) && path !== "/") return "is no absolute path in its shortest form";
  if (parts.some((part) => part === "." || part === "..")) return "is no absolute path in its shortest form";
  const inside = (tree: string) => path === tree || path.startsWith(`${tree}/`);
  if (SYSTEM_FOLDERS.has(path) || SYSTEM_TREES.some(inside) || (inside("/var") && !IN_VAR.has(path)))
    return "belongs to the system";
  return undefined;
}

const MOUNT_RULE =
  'a path of its own such as "/data" or "/mnt/storage", of letters, digits, ".", "_" and "-"';
const OPTION = /^[A-Za-z0-9_.=:+@%/-]+$/;
/** Narrower than LVM itself: in device-mapper's names a "-" is written twice. */
const LVM_NAME = /^[A-Za-z0-9][A-Za-z0-9_.+]{0,62}$/;
const SERIAL = /^[A-Za-z0-9][A-Za-z0-9._:+-]{3,127}$/;
const UUID = /^[A-Fa-f0-9][A-Fa-f0-9-]{3,63}$/;
const isNetwork = (text: string) => Boolean(parseCidr(text)) || isIpv4(text) || isIpv6Cidr(text);

/** The node that an NFS mount names in front of its path, if it names one. */
export function nfsNode(names: readonly string[], from: string): string | undefined {
  const host = from.slice(0, Math.max(0, from.lastIndexOf(":/")));
  return names.find((name) => name === host);
}

/** A node comes after those that it mounts from, so none may wait for itself. */
function checkNfsOrder(config: StackConfig, report: Report): void {
  const names = config.nodes.map(({ name }) => name);
  const servers = (node: NodeConfig) =>
    (resolveStorage(config, node).nfs?.mounts ?? []).flatMap(({ from }) => nfsNode(names, from) ?? []);
  const waitsFor = (from: NodeConfig, target: string, seen = new Set<string>()): boolean =>
    servers(from).some((name) => {
      if (name === target) return true;
      const next = config.nodes.find((node) => node.name === name);
      if (!next || seen.has(name)) return false;
      seen.add(name);
      return waitsFor(next, target, seen);
    });
  for (const [i, node] of config.nodes.entries())
    if (waitsFor(node, node.name))
      report(
        `${storagePath(node, i, "nfs")}.mounts`,
        servers(node),
        `lead back to "${node.name}": it would wait for itself`,
        "mounts from nodes that do not mount from this one; a server gets a storage part of its own",
      );
}

export function checkStorage(config: StackConfig, report: Report): void {
  checkNfsOrder(config, report);
  // Nodes share the stack's part: what is wrong with it is said once.
  const said = new Set<string>();
  const once: Report = (path, value, problem, allowed) => {
    if (said.has(`${path}\n${problem}`)) return;
    said.add(`${path}\n${problem}`);
    report(path, value, problem, allowed);
  };
  checkParts("storage", config.storage, once);
  for (const [i, node] of config.nodes.entries()) {
    checkParts(`nodes[${i}].storage`, node.storage ?? {}, once);
    checkMounts(mountsOf(config, node, i), once);
  }
  for (const [i, user] of config.users.entries())
    if (user.quota) checkQuota(`users[${i}].quota`, user.quota, report);
  checkFabric(config, report);
}

interface MountAt {
  path: string;
  mount: string;
}

/** Everything that a node mounts, with where it is written. */
function mountsOf(config: StackConfig, node: NodeConfig, i: number): MountAt[] {
  const { devices = [], lvm, nfs } = resolveStorage(config, node);
  const at = (part: keyof StorageConfig, tail: string, list: readonly { mount: string }[]) =>
    list.map(({ mount }, k) => ({ path: `${storagePath(node, i, part)}${tail}[${k}].mount`, mount }));
  const volumes = node.kind === "digitalocean" ? node.volumes : [];
  return [
    ...volumes.map(({ mount }, k) => ({ path: `nodes[${i}].volumes[${k}].mount`, mount })),
    ...at("devices", "", devices),
    ...at("lvm", ".volumes", lvm?.volumes ?? []),
    ...at("nfs", ".mounts", nfs?.mounts ?? []),
  ];
}

function checkMounts(mounts: readonly MountAt[], report: Report): void {
  for (const [k, { path, mount }] of mounts.entries()) {
    const problem = mountProblem(mount);
    if (problem) report(path, mount, problem, MOUNT_RULE);
    const other = mounts
      .slice(0, k)
      .find((o) => o.mount === mount || o.mount.startsWith(`${mount}/`) || mount.startsWith(`${o.mount}/`));
    if (other && !problem)
      report(
        path,
        mount,
        `overlaps ${other.path} (${other.mount})`,
        "mount points that do not lie in each other",
      );
  }
}

function checkParts(path: string, storage: Partial<StorageConfig>, report: Report): void {
  const { devices = [], lvm, nfs, quota } = storage;
  const options = (at: string, values: readonly string[] = []) => {
    for (const [k, value] of values.entries())
      if (!OPTION.test(value))
        report(`${at}[${k}]`, value, "is no mount option", 'one option without blanks, such as "noatime"');
  };
  const seen = new Map<string, string>();
  const device = (at: string, match: { serial: string } | { uuid: string }) => {
    const [key, value] =
      "serial" in match ? (["serial", match.serial] as const) : (["uuid", match.uuid] as const);
    if (!(key === "serial" ? SERIAL : UUID).test(value))
      report(`${at}.${key}`, value, `is no ${key}`, `what "lsblk -o NAME,SERIAL,UUID" shows on the machine`);
    const twin = seen.get(`${key}=${value}`);
    if (twin) report(`${at}.${key}`, value, `is the device of ${twin} too`, "one use for every device");
    seen.set(`${key}=${value}`, at);
  };
  for (const [k, one] of devices.entries()) {
    device(`${path}.devices[${k}].match`, one.match);
    options(`${path}.devices[${k}].options`, one.options);
  }
  if (lvm) {
    for (const [k, volume] of lvm.volumes.entries())
      options(`${path}.lvm.volumes[${k}].options`, volume.options);
    for (const [k, match] of lvm.devices.entries()) device(`${path}.lvm.devices[${k}]`, match);
    checkLvm(`${path}.lvm`, lvm, report);
  }
  for (const [k, one] of (nfs?.server?.exports ?? []).entries()) {
    const at = `${path}.nfs.server.exports[${k}]`;
    if (mountProblem(one.path)) report(`${at}.path`, one.path, mountProblem(one.path) ?? "", MOUNT_RULE);
    for (const [j, network] of one.to.entries())
      if (!isNetwork(network))
        report(`${at}.to[${j}]`, network, "is no network", 'an address or a network such as "10.0.0.0/24"');
    options(`${at}.options`, one.options);
  }
  for (const [k, one] of (nfs?.mounts ?? []).entries()) {
    const match = /^(?:\[([^\]]+)\]|([^:/[\]]+)):(\/[^\s]*)$/.exec(one.from);
    if (!match || !isHost(match[1] ?? match[2] ?? ""))
      report(`${path}.nfs.mounts[${k}].from`, one.from, "is no NFS export", '"HOST:/path"');
    options(`${path}.nfs.mounts[${k}].options`, one.options);
  }
  for (const [name, from] of Object.entries(storage.bind ?? {}))
    if (from !== undefined && mountProblem(from))
      report(`${path}.bind.${name}`, from, mountProblem(from) ?? "", MOUNT_RULE);
  if (quota) checkQuota(`${path}.quota.home`, quota.home, report);
}

function checkLvm(path: string, lvm: NonNullable<StorageConfig["lvm"]>, report: Report): void {
  const rule = "letters, digits, '_', '.' and '+', a letter or digit first, at most 63";
  const named = (at: string, name: string) => {
    if (!LVM_NAME.test(name)) report(at, name, "is no LVM name", rule);
  };
  named(`${path}.group`, lvm.group);
  for (const [k, volume] of lvm.volumes.entries()) {
    named(`${path}.volumes[${k}].name`, volume.name);
    const twin = lvm.volumes.findIndex((v) => v.name === volume.name);
    if (twin < k)
      report(
        `${path}.volumes[${k}].name`,
        volume.name,
        `is the name of volumes[${twin}] too`,
        "a name of its own for every volume",
      );
  }
  const shares = lvm.volumes.filter(({ size }) => size.endsWith("%"));
  const percent = shares.reduce((sum, { size }) => sum + Number.parseInt(size, 10), 0);
  if (percent > 100)
    report(
      `${path}.volumes`,
      `${percent}%`,
      "are more than the whole group",
      "shares of at most 100% together",
    );
}

function checkQuota(path: string, quota: QuotaConfig, report: Report): void {
  if ((parseSize(quota.soft) ?? 0) > (parseSize(quota.hard) ?? 0))
    report(
      `${path}.soft`,
      quota.soft,
      "is more than the hard limit",
      `at most ${quota.hard}, or a larger "hard"`,
    );
}

function checkFabric(config: StackConfig, report: Report): void {
  for (const [i, { fabric }] of config.nodes.entries()) {
    if (!fabric) continue;
    const path = `nodes[${i}].fabric`;
    if (fabric.interface !== undefined && !isInterface(fabric.interface))
      report(`${path}.interface`, fabric.interface, "is no network interface", INTERFACE_RULE);
    if (fabric.address === undefined) continue;
    if (fabric.interface === undefined)
      report(`${path}.interface`, undefined, "is missing: the address needs one", INTERFACE_RULE);
    if (!isInterfaceAddress(fabric.address))
      report(`${path}.address`, fabric.address, "is no address with a prefix", '"10.20.0.11/24"');
    const bare = fabric.address.split("/")[0];
    const twin = config.nodes.findIndex((n) => n.fabric?.address?.split("/")[0] === bare);
    if (twin < i)
      report(
        `${path}.address`,
        fabric.address,
        `is the fabric address of nodes[${twin}] too`,
        "an address of its own for every node",
      );
  }
}

/** IFNAMSIZ leaves 15 characters. */
export const isInterface = (text: string) =>
  /^[A-Za-z0-9_.-]{1,15}$/.test(text) && text !== "." && text !== "..";
export const INTERFACE_RULE = 'a name as "ip link" shows it, such as "eth1", at most 15 characters';
