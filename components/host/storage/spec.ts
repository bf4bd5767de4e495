/** What a node's storage is asked to be, checked and brought into the form that the steps are rendered from. Pure. */
import { createHash } from "node:crypto";
import { nfsExport, parseSize } from "../../../config";
import { parseNetwork } from "../networks";
import { checkLinuxName, checkPath, checkWhole, StageOptionError } from "../shell";
import { checkLvmName, checkMount, checkOptions, checkWords, unique } from "./checks";
import type { TreeOptions } from "./tree";
import { defaultStorage } from "./tree";

/**
 * A device, named by what stays the same when cables and slots change; never by its letter.
 *  - `serial`: the whole device, as `lsblk -o NAME,SERIAL` or the end of a name in /dev/disk/by-id tells it.
 *    Berth partitions it and makes the file system, once, if it is empty.
 *  - `uuid`: a file system that exists (`lsblk -o NAME,UUID`). It is mounted and grown, never made.
 */
export type DeviceMatch = { serial: string } | { uuid: string };

export type Filesystem = "ext4" | "xfs";

export interface DeviceSpec {
  match: DeviceMatch;
  /** @default "ext4" */
  filesystem?: Filesystem;
  mount: string;
  /** Added behind Berth's own mount options. @default [] */
  options?: readonly string[];
}

export interface VolumeSpec {
  name: string;
  /** `"100GiB"`, or `"50%"` of the group. It grows when this grows, and is never made smaller. */
  size: string;
  /** @default "ext4" */
  filesystem?: Filesystem;
  mount: string;
  /** @default [] */
  options?: readonly string[];
}

export interface LvmSpec {
  group: string;
  /** Whole devices; with `uuid`, a physical volume of this group. A device that leaves the list stays in the group. */
  devices: readonly DeviceMatch[];
  volumes: readonly VolumeSpec[];
}

export interface ExportSpec {
  path: string;
  /** Networks and addresses that may mount it. */
  to: readonly string[];
  /** @default ["rw", "sync", "no_subtree_check", "root_squash"] */
  options?: readonly string[];
}

export interface NfsMountSpec {
  /** `HOST:/path` */
  from: string;
  mount: string;
  /** Added behind Berth's own. @default [] */
  options?: readonly string[];
}

/**
 * One user's home with its limits. The project number of the file system is the uid.
 *
 * It guards against accidents and full disks. It is no wall: Linux lets the owner of a file in the first user
 * namespace give it another project number (fs/ioctl.c, fileattr_set_prepare), in a container without user
 * namespaces too.
 */
export interface HomeQuota {
  user: string;
  /** Owner of the home, and its project number. */
  uid: number;
  /** May be exceeded for the grace time of the file system, a week unless the operator set another. */
  soft: string;
  /** Never exceeded: writing ends with EDQUOT. */
  hard: string;
}

/** What may be bound from another place into the tree. */
export type BindName = "homes" | "workspaces" | "shared" | "state";

export interface StorageSpec {
  devices?: readonly DeviceSpec[];
  lvm?: LvmSpec;
  nfs?: { server?: { exports: readonly ExportSpec[] }; mounts?: readonly NfsMountSpec[] };
  /** Directories that parts of the tree really live in, such as `{ workspaces: "/data/workspaces" }`. */
  bind?: Partial<Record<BindName, string>>;
  /** The limits of every home that has one. A home that leaves the list loses its limits. */
  quotas?: readonly HomeQuota[];
}

/**
 * Any key of the specification, an empty list too, makes the stage look after devices and mounts. Leave all of
 * them out for a node whose storage is nobody's business here (a local one); keep an empty list on a real
 * machine, so that what leaves the configuration is unmounted.
 */
export interface StorageOptions extends TreeOptions, StorageSpec {}

export interface PlannedFilesystem {
  /** Place in the options, for messages. */
  where: string;
  filesystem: Filesystem;
  mount: string;
  options: string;
  label: string;
  /** The homes with limits are on it. */
  quota: boolean;
}

export interface PlannedMatch {
  where: string;
  kind: "serial" | "uuid";
  value: string;
}

export interface StoragePlan {
  root: string;
  devices: (PlannedFilesystem & PlannedMatch)[];
  lvm?: {
    group: string;
    devices: PlannedMatch[];
    volumes: (PlannedFilesystem & { name: string; size: { bytes: number } | { percent: number } })[];
  };
  exports: { path: string; clients: string[]; options: string }[];
  nfs: { where: string; from: string; mount: string; options: string }[];
  binds: { from: string; mount: string; mode: string; options: string }[];
  /** Limits in KiB, rounded up. */
  quotas: { user: string; uid: number; softKib: number; hardKib: number }[];
}

/**
 * How long Docker waits at boot for a device; all else starts meanwhile. systemd's own 90 s can be too short: LVM comes up
 * late on a busy computer, and disks of an array one after another. Without it Docker would start, and find no home.
 */
const DEVICE_TIMEOUT = "x-systemd.device-timeout=5min";
/** A container does not see what is mounted into its folders after its start. */
const BEFORE_DOCKER = "x-systemd.before=docker.service";
/** A boot without the device is better than none; what writes into the tree still waits for the mount. */
const LOCAL_OPTIONS = ["nofail", DEVICE_TIMEOUT, BEFORE_DOCKER];
/** People's data neither runs as another one nor is a device; guard.ts tells why. The node leaves them out for Docker's. */
export const GUARD_OPTIONS = "nosuid,nodev";
/** `hard`: a server that is away makes programs wait, never lose data. timeo is in tenths of a second. */
const NFS_OPTIONS = [
  GUARD_OPTIONS,
  "_netdev",
  "nofail",
  BEFORE_DOCKER,
  "hard",
  "timeo=600",
  "retrans=2",
  "nfsvers=4.2",
  "noatime",
];

const BINDS: Record<BindName, { path: string; mode: string }> = {
  homes: { path: "homes", mode: "0711" },
  workspaces: { path: "workspaces", mode: "0711" },
  shared: { path: "shared", mode: "0755" },
  state: { path: "docker-volumes", mode: "0711" },
};

/** True when the stage looks after devices and mounts, not only directories. */
export function hasStorageSpec(options: StorageOptions): boolean {
  const { devices, lvm, nfs, bind, quotas } = options;
  return [devices, lvm, nfs, bind, quotas].some((part) => part !== undefined);
}

/**
 * The label by which Berth knows a file system that it made for this mount point: 12 characters, XFS's limit.
 * A volume that its provider formats with this label is taken for Berth's own.
 */
export function storageLabel(mount: string): string {
  return `berth-${createHash("sha256").update(mount).digest("hex").slice(0, 6)}`;
}

/** @throws StageOptionError for a value that cannot be: the first one found. */
export function planStorage(options: StorageOptions): StoragePlan {
  const root = checkPath(options.root ?? defaultStorage.root, "storage.root");
  const quotas = (options.quotas ?? []).map(planQuota);
  unique(
    quotas.map(({ uid }) => String(uid)),
    "storage.quotas",
    "one entry for each uid",
  );
  const binds = (Object.keys(BINDS) as BindName[]).flatMap((name) => {
    const from = options.bind?.[name];
    if (from === undefined) return [];
    const mount = checkMount(`${root}/${BINDS[name].path}`, "storage.root");
    return [
      {
        from: checkMount(from, `storage.bind.${name}`),
        mount,
        mode: BINDS[name].mode,
        options: [
          "bind",
          GUARD_OPTIONS,
          "nofail",
          BEFORE_DOCKER,
          `x-systemd.requires-mounts-for=${from}`,
        ].join(),
      },
    ];
  });
  const specs = [
    ...(options.devices ?? []).map(({ mount }) => mount),
    ...(options.lvm?.volumes ?? []).map(({ mount }) => mount),
  ];
  const homes = binds.find(({ mount }) => mount === `${root}/homes`)?.from ?? `${root}/homes`;
  const holder = quotas.length > 0 ? longestHolder(specs, homes) : undefined;
  const filesystem = (spec: Omit<DeviceSpec, "match">, where: string): PlannedFilesystem => {
    const mount = checkMount(spec.mount, `${where}.mount`);
    const quota = mount === holder;
    const own = spec.filesystem ?? "ext4";
    if (own !== "ext4" && own !== "xfs") {
      throw new StageOptionError(`${where}.filesystem`, own, "ext4 or xfs");
    }
    return {
      where,
      filesystem: own,
      mount,
      options: [
        "noatime",
        GUARD_OPTIONS,
        ...LOCAL_OPTIONS,
        ...(quota ? ["prjquota"] : []),
        ...checkOptions(spec, where),
      ].join(),
      label: storageLabel(mount),
      quota,
    };
  };
  const devices = (options.devices ?? []).map((device, i) => ({
    ...filesystem(device, `storage.devices[${i}]`),
    ...planMatch(device.match, `storage.devices[${i}]`),
  }));
  const lvm = options.lvm ? planLvm(options.lvm, filesystem) : undefined;
  const nfs = (options.nfs?.mounts ?? []).map((entry, i) => planNfsMount(entry, `storage.nfs.mounts[${i}]`));
  const exported = (options.nfs?.server?.exports ?? []).map((entry, i) =>
    planExport(entry, `storage.nfs.server.exports[${i}]`, specs),
  );
  unique(
    [...specs, ...nfs.map(({ mount }) => mount), ...binds.map(({ mount }) => mount)],
    "storage",
    "one file system for each mount point",
  );
  unique(
    [...devices, ...(lvm?.devices ?? [])].map(({ kind, value }) => `${kind} ${value}`),
    "storage",
    "each device once",
  );
  unique(
    exported.map(({ path }) => path),
    "storage.nfs.server.exports",
    "each path once",
  );
  return { root, devices, ...(lvm ? { lvm } : {}), exports: exported, nfs, binds, quotas };
}

function planLvm(
  spec: LvmSpec,
  filesystem: (spec: Omit<DeviceSpec, "match">, where: string) => PlannedFilesystem,
): NonNullable<StoragePlan["lvm"]> {
  const volumes = spec.volumes.map((volume, i) => {
    const where = `storage.lvm.volumes[${i}]`;
    return {
      ...filesystem(volume, where),
      name: checkLvmName(volume.name, `${where}.name`),
      size: planSize(volume.size, `${where}.size`),
    };
  });
  unique(
    volumes.map(({ name }) => name),
    "storage.lvm.volumes",
    "each name once",
  );
  const percent = volumes.reduce((sum, { size }) => sum + ("percent" in size ? size.percent : 0), 0);
  if (percent > 100) {
    throw new StageOptionError(
      "storage.lvm.volumes",
      `${percent}%`,
      "sizes that make at most 100% of the group",
    );
  }
  if (spec.devices.length === 0) throw new StageOptionError("storage.lvm.devices", [], "at least one device");
  return {
    group: checkLvmName(spec.group, "storage.lvm.group"),
    devices: spec.devices.map((match, i) => planMatch(match, `storage.lvm.devices[${i}]`)),
    volumes,
  };
}

function planMatch(match: DeviceMatch, where: string): PlannedMatch {
  const [kind, value] =
    "serial" in match ? (["serial", match.serial] as const) : (["uuid", match.uuid] as const);
  if (typeof value !== "string" || !/^[A-Za-z0-9][A-Za-z0-9._:+-]{3,127}$/.test(value)) {
    throw new StageOptionError(
      `${where}.match.${kind}`,
      value,
      "what lsblk -o NAME,SERIAL,UUID shows: 4 to 128 letters, digits, '.', '_', ':', '+' and '-'",
    );
  }
  return { where, kind, value };
}

function planQuota(quota: HomeQuota, i: number): StoragePlan["quotas"][number] {
  const where = `storage.quotas[${i}]`;
  const kib = (text: string, key: string) => {
    const bytes = parseSize(text);
    if (!bytes) throw new StageOptionError(`${where}.${key}`, text, "a size, such as '50GiB'");
    return Math.ceil(bytes / 1024);
  };
  const softKib = kib(quota.soft, "soft");
  const hardKib = kib(quota.hard, "hard");
  if (softKib > hardKib)
    throw new StageOptionError(`${where}.soft`, quota.soft, `at most hard, ${quota.hard}`);
  return {
    user: checkLinuxName(quota.user, `${where}.user`),
    // Project 0 is what every file belongs to that nobody gave another.
    uid: checkWhole(quota.uid, `${where}.uid`, 1, 2 ** 31 - 1),
    softKib,
    hardKib,
  };
}

function planSize(text: string, where: string): { bytes: number } | { percent: number } {
  const percent = /^(\d{1,3})%$/.exec(text)?.[1];
  if (percent !== undefined) return { percent: checkWhole(Number(percent), where, 1, 100) };
  const bytes = parseSize(text);
  if (!bytes) throw new StageOptionError(where, text, "a size, such as '100GiB', or a share, such as '50%'");
  return { bytes };
}

function planNfsMount(entry: NfsMountSpec, where: string): StoragePlan["nfs"][number] {
  if (!nfsExport(entry.from)) throw new StageOptionError(`${where}.from`, entry.from, "HOST:/path");
  return {
    where,
    from: entry.from,
    mount: checkMount(entry.mount, `${where}.mount`),
    options: [...NFS_OPTIONS, ...checkOptions(entry, where)].join(),
  };
}

function planExport(
  entry: ExportSpec,
  where: string,
  mounts: readonly string[],
): StoragePlan["exports"][number] {
  const path = checkWords(entry.path, `${where}.path`);
  const given = entry.options ?? ["rw", "sync", "no_subtree_check", "root_squash"];
  const holder = longestHolder(mounts, path);
  if (entry.to.length === 0) throw new StageOptionError(`${where}.to`, [], "at least one network");
  return {
    path,
    clients: entry.to.map((text, i) => parseNetwork(text, `${where}.to[${i}]`).text),
    // mp: what lies below a mount point that is not mounted is never handed out in its place.
    options: [...checkOptions({ options: given }, where), ...(holder ? [`mp=${holder}`] : [])].join(),
  };
}

/** The mount point that a path lies on, of those given. */
function longestHolder(mounts: readonly string[], path: string): string | undefined {
  return mounts
    .filter((mount) => path === mount || path.startsWith(`${mount}/`))
    .sort((a, b) => b.length - a.length)[0];
}
