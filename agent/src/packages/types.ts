import type { PackageBounds } from "../../../core/manager";

/** What a container is given when it is made. */
export interface PackagesMount {
  /** A folder of the node. */
  source: string;
  target: string;
  /** `rslave`: what is mounted at the source later shows in the container too. */
  propagation: "rslave" | "rprivate";
}

/** What stands below a container's packages. */
export interface Attached {
  /** `OWNER-REPO-node_modules`, for people. */
  name: string;
  /** Left out: nothing does; the container begins with an empty folder. */
  from?: {
    /** Counts up in its cache. */
    generation: number;
    /** Whether the container's own branch left it, or the main one. */
    branch: "own" | "main";
    /** As `keep` was told: the same one means that what is to be installed is there. */
    fingerprint: string;
  };
}

/** What became of a container's packages. */
export type Kept =
  /** They stand below those of later containers. `entries`: files, folders and links. */
  | { kept: true; generation: number; bytes: number; entries: number }
  /** `unchanged`: packages of this fingerprint are kept already. `empty`: there are none. */
  | { kept: false; why: "unchanged" | "empty" };

export interface PackagesUsage {
  /** On the disk, of what is kept. */
  bytes: number;
  caches: CacheUsage[];
  /** That have a folder of packages. */
  containers: number;
}

export interface CacheUsage {
  owner: string;
  /** `OWNER-REPO-node_modules`. */
  name: string;
  branch: string;
  generation: number;
  bytes: number;
  entries: number;
  /** Milliseconds since the epoch. */
  usedAt: number;
  /** A container has it below its packages. */
  inUse: boolean;
}

/** What one installation may cost to keep. */
export interface PackageLimits {
  /** As an archive: content, and half a KiB or more for each entry. @default 2 GiB */
  treeBytes: number;
  /** Files, folders and links. @default 250000 */
  treeEntries: number;
  /** Copying one, into the cache or out of it. @default 5 minutes */
  copyMilliseconds: number;
  /** What has to be free on the disk, beside the largest that may be kept. @default 2 GiB */
  freeBytes: number;
}

export interface PackageCachesOptions {
  /** Its own, made if it is not there; letters, digits and `._/-` alone. Overlays need a disk of ext4, xfs or btrfs. */
  folder: string;
  /**
   * What runs a program in the node's own mount namespace, where dockerd is, such as `throughSystemd`: the program and its arguments
   * come after these. It hands on standard input, output and exit status. @default nothing: berthd is in it
   */
  prefix?: readonly string[];
  /** @default 20 GiB in all, half of it and 200 caches of one owner, a week unused */
  bounds?: Partial<PackageBounds>;
  limits?: Partial<PackageLimits>;
  log: { info(data: object, message: string): void; warn(data: object, message: string): void };
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
}
