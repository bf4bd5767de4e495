/** What a node's storage is asked to be, in the form that the steps are rendered from. `config` has checked it. Pure. */
import { createHash } from "node:crypto";
import { parseSize, type StorageInput } from "../../../config";
import { parseNetwork } from "../networks";
import { checkPath, StageOptionError } from "../shell";
import type { TreeOptions } from "./tree";
import { defaultStorage } from "./tree";

type DeviceSpec = NonNullable<StorageInput["devices"]>[number];
type Nfs = NonNullable<StorageInput["nfs"]>;
type ExportSpec = NonNullable<Nfs["server"]>["exports"][number];

/**
 * One user's home with its limits. The project number of the file system is the uid.
 *
 * It guards against accidents and full disks. It is no wall: Linux lets the owner of a file in the first user
 * namespace give it another project number (fs/ioctl.c, fileattr_set_prepare), in a container without user
 * namespaces too.
 */
interface HomeQuota {
  user: string;
  /** Owner of the home, and its project number. */
  uid: number;
  /** May be exceeded for the grace time of the file system, a week unless the operator set another. */
  soft: string;
  /** Never exceeded: writing ends with EDQUOT. */
  hard: string;
}

/** What may be bound from another place into the tree. */
export type BindName = keyof NonNullable<StorageInput["bind"]>;

/**
 * Any key of the specification, an empty list too, makes the stage look after devices and mounts. Leave all of
 * them out for a node whose storage is nobody's business here (a local one); keep an empty list on a real
 * machine, so that what leaves the configuration is unmounted.
 */
export interface StorageOptions extends TreeOptions, Pick<StorageInput, "devices" | "lvm" | "nfs" | "bind"> {
  /** The limits of every home that has one. A home that leaves the list loses its limits. */
  quotas?: readonly HomeQuota[];
}

export interface PlannedFilesystem {
  /** Place in the options, for messages. */
  where: string;
  filesystem: NonNullable<DeviceSpec["filesystem"]>;
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
  nfs: { from: string; mount: string; options: string }[];
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

/** @throws StageOptionError for two file systems at one place. */
export function planStorage(options: StorageOptions): StoragePlan {
  const root = checkPath(options.root ?? defaultStorage.root, "storage.root");
  const quotas = (options.quotas ?? []).map(planQuota);
  const binds = (Object.keys(BINDS) as BindName[]).flatMap((name) => {
    const from = options.bind?.[name];
    if (from === undefined) return [];
    return [
      {
        from,
        mount: `${root}/${BINDS[name].path}`,
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
    const { mount, filesystem: kind = "ext4", options: own = [] } = spec;
    const quota = mount === holder;
    return {
      where,
      filesystem: kind,
      mount,
      options: ["noatime", GUARD_OPTIONS, ...LOCAL_OPTIONS, ...(quota ? ["prjquota"] : []), ...own].join(),
      label: storageLabel(mount),
      quota,
    };
  };
  const devices = (options.devices ?? []).map((device, i) => ({
    ...filesystem(device, `storage.devices[${i}]`),
    ...planMatch(device.match, `storage.devices[${i}]`),
  }));
  const lvm = options.lvm ? planLvm(options.lvm, filesystem) : undefined;
  const nfs = (options.nfs?.mounts ?? []).map(({ from, mount, options: own = [] }) => ({
    ...{ from, mount },
    options: [...NFS_OPTIONS, ...own].join(),
  }));
  // Not `exports`: in what TypeScript makes of this file, that is the module's own.
  const shared = (options.nfs?.server?.exports ?? []).map((entry, i) =>
    planExport(entry, `storage.nfs.server.exports[${i}]`, specs),
  );
  const mounts = [...specs, ...nfs.map(({ mount }) => mount), ...binds.map(({ mount }) => mount)];
  const twice = mounts.find((mount, i) => mounts.indexOf(mount) !== i);
  if (twice !== undefined)
    throw new StageOptionError("storage", twice, "one file system for each mount point");
  return { root, devices, ...(lvm ? { lvm } : {}), exports: shared, nfs, binds, quotas };
}

function planLvm(
  { group, devices, volumes }: NonNullable<StorageOptions["lvm"]>,
  filesystem: (spec: Omit<DeviceSpec, "match">, where: string) => PlannedFilesystem,
): NonNullable<StoragePlan["lvm"]> {
  return {
    group,
    devices: devices.map((match, i) => planMatch(match, `storage.lvm.devices[${i}]`)),
    volumes: volumes.map((volume, i) => {
      const where = `storage.lvm.volumes[${i}]`;
      return {
        ...filesystem(volume, where),
        name: volume.name,
        size: planSize(volume.size, `${where}.size`),
      };
    }),
  };
}

const planMatch = (match: DeviceSpec["match"], where: string): PlannedMatch =>
  "serial" in match
    ? { where, kind: "serial", value: match.serial }
    : { where, kind: "uuid", value: match.uuid };

function bytesOf(text: string, where: string): number {
  const bytes = parseSize(text);
  if (!bytes) throw new StageOptionError(where, text, "a size, such as '100GiB'");
  return bytes;
}

function planQuota({ user, uid, soft, hard }: HomeQuota, i: number): StoragePlan["quotas"][number] {
  const kib = (text: string, key: string) => Math.ceil(bytesOf(text, `storage.quotas[${i}].${key}`) / 1024);
  return { user, uid, softKib: kib(soft, "soft"), hardKib: kib(hard, "hard") };
}

const planSize = (text: string, where: string): { bytes: number } | { percent: number } =>
  text.endsWith("%") ? { percent: Number.parseInt(text, 10) } : { bytes: bytesOf(text, where) };

function planExport(
  { path, to, options = ["rw", "sync", "no_subtree_check", "root_squash"] }: ExportSpec,
  where: string,
  mounts: readonly string[],
): StoragePlan["exports"][number] {
  const holder = longestHolder(mounts, path);
  return {
    path,
    clients: to.map((text, i) => parseNetwork(text, `${where}.to[${i}]`).text),
    // mp: what lies below a mount point that is not mounted is never handed out in its place.
    options: [...options, ...(holder ? [`mp=${holder}`] : [])].join(),
  };
}

/** The mount point that a path lies on, of those given. */
function longestHolder(mounts: readonly string[], path: string): string | undefined {
  return mounts
    .filter((mount) => path === mount || path.startsWith(`${mount}/`))
    .sort((a, b) => b.length - a.length)[0];
}
