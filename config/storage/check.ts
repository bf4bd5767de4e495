import { checkNetworks } from "../network/check";
import type { Report } from "../problems";
import type { NodeConfig, StackConfig } from "../schema";
import { parseSize } from "../values";
import { nfsExport, nfsNode, resolveStorage, storagePath } from "./resolve";
import type { QuotaConfig, StorageConfig } from "./schema";

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

const NFS_RULE = '"HOST:/path", the path in its shortest form, of letters, digits and . _ + @ ~ # % = ( ) -';

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
    checkDevices(config, node, i, once);
  }
  for (const [i, user] of config.users.entries())
    if (user.quota) checkQuota(`users[${i}].quota`, user.quota, report);
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

/** No disk of a node has two uses, of which one may stand in the stack's part and one in the node's. */
function checkDevices(config: StackConfig, node: NodeConfig, i: number, report: Report): void {
  const { devices = [], lvm } = resolveStorage(config, node);
  const used = [
    ...devices.map(({ match }, k) => ({ match, at: `${storagePath(node, i, "devices")}[${k}].match` })),
    ...(lvm?.devices ?? []).map((match, k) => ({
      match,
      at: `${storagePath(node, i, "lvm")}.devices[${k}]`,
    })),
  ].map(({ match, at }) => {
    const [kind, value] =
      "serial" in match ? (["serial", match.serial] as const) : (["uuid", match.uuid] as const);
    return { kind, value, path: `${at}.${kind}` };
  });
  const volumes = node.kind === "digitalocean" ? node.volumes : [];
  for (const [k, { kind, value, path }] of used.entries()) {
    const twin = used.findIndex((other) => other.kind === kind && other.value === value);
    const other = used[twin]?.path;
    if (twin < k) report(path, value, `is the device of ${other} too`, "one use for every device");
    // As Berth names the volumes that it makes: berth-STACK-NAME.
    const volume = volumes.findIndex(
      ({ name }) => /^0DO_Volume_berth-/.test(value) && value.endsWith(`-${name}`),
    );
    if (volume >= 0)
      report(path, value, `is the device of nodes[${i}].volumes[${volume}] too`, "one use for every device");
  }
}

function checkParts(path: string, storage: Partial<StorageConfig>, report: Report): void {
  const { devices = [], lvm, nfs, quota } = storage;
  const options = (at: string, values: readonly string[] = []) => {
    for (const [k, value] of values.entries())
      if (!OPTION.test(value))
        report(`${at}[${k}]`, value, "is no mount option", 'one option without blanks, such as "noatime"');
  };
  const device = (at: string, match: { serial: string } | { uuid: string }) => {
    const [key, value] =
      "serial" in match ? (["serial", match.serial] as const) : (["uuid", match.uuid] as const);
    if (!(key === "serial" ? SERIAL : UUID).test(value))
      report(`${at}.${key}`, value, `is no ${key}`, `what "lsblk -o NAME,SERIAL,UUID" shows on the machine`);
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
    checkNetworks(`${at}.to`, one.to, report);
    const twin = nfs?.server?.exports.findIndex(({ path }) => path === one.path) ?? k;
    if (twin < k)
      report(`${at}.path`, one.path, `is the path of exports[${twin}] too`, "one entry for every path");
    options(`${at}.options`, one.options);
  }
  for (const [k, one] of (nfs?.mounts ?? []).entries()) {
    if (!nfsExport(one.from)) report(`${path}.nfs.mounts[${k}].from`, one.from, "is no NFS export", NFS_RULE);
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
