import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupVersion, SliceUnit } from "./render";

/** What the kernel holds, read from its files. `root` is the node's `/`; tests have one of their own. */

/** 2 where version 2 has the controllers. */
export function cgroupVersion(root = "/"): CgroupVersion {
  return existsSync(join(root, "sys/fs/cgroup/cgroup.controllers")) ? 2 : 1;
}

const folder = (root: string, version: CgroupVersion, controller: string, path: string) =>
  join(root, "sys/fs/cgroup", ...(version === 2 ? [] : [controller]), path);

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    // Gone, or never made: a slice without containers may have no cgroup in a controller.
    if (["ENOENT", "ENODEV", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return undefined;
    throw error;
  }
}

/** True while a process is in the slice, or in a container in it. */
export function inUse(path: string, version: CgroupVersion, root = "/"): boolean {
  if (version === 2)
    return (
      read(join(folder(root, 2, "", path), "cgroup.events"))
        ?.split("\n")
        .includes("populated 1") ?? false
    );
  return ["memory", "pids", "devices"].some((controller) => populated(folder(root, 1, controller, path)));
}

/** Version 1 says nothing of what is below: look. */
function populated(at: string): boolean {
  if ((read(join(at, "cgroup.procs")) ?? "") !== "") return true;
  if (!existsSync(at)) return false;
  return readdirSync(at, { withFileTypes: true }).some(
    (entry) => entry.isDirectory() && populated(join(at, entry.name)),
  );
}

/** A limit that the kernel does not hold as written: on version 1 it takes none below what is in use. */
export interface Unheld {
  slice: string;
  limit: keyof SliceUnit["limits"];
  /** `null`: no limit. */
  wanted: number | null;
  /** What the kernel holds; `null`: no limit. */
  actual: number | null;
  /** False: the slice has no cgroup where this limit would be. */
  there: boolean;
}

/** Memory is held in pages: the largest that Linux has. */
const PAGE = 65536;

/** Every limit of the slices that the kernel does not hold, and every one that it holds and should not. */
export function unheldLimits(units: readonly SliceUnit[], version: CgroupVersion, root = "/"): Unheld[] {
  return units.flatMap(({ name: slice, path, limits }) =>
    (["max_cpus", "memory", "max_tasks"] as const).flatMap((limit) => {
      const wanted = limits[limit];
      const found = readers[limit](path, version, root);
      const actual = found ?? null;
      const near = limit === "memory" ? PAGE : limit === "max_cpus" ? 0.006 : 0;
      const held = wanted === null || actual === null ? wanted === actual : Math.abs(actual - wanted) <= near;
      return held ? [] : [{ slice, limit, wanted, actual, there: found !== undefined }];
    }),
  );
}

/** What version 1 says for "no limit": the largest number of whole pages. */
const NO_LIMIT = 2 ** 62;

/** `null`: no limit; undefined: no such file. */
function number(text: string | undefined): number | null | undefined {
  if (text === undefined || text === "") return undefined;
  const value = text === "max" ? Number.POSITIVE_INFINITY : Number(text);
  return value < 0 || value >= NO_LIMIT ? null : value;
}

const readers = {
  memory: (path: string, version: CgroupVersion, root: string) =>
    number(
      read(
        join(folder(root, version, "memory", path), version === 2 ? "memory.max" : "memory.limit_in_bytes"),
      ),
    ),
  max_tasks: (path: string, version: CgroupVersion, root: string) =>
    number(read(join(folder(root, version, "pids", path), "pids.max"))),
  max_cpus: (path: string, version: CgroupVersion, root: string) => {
    const at = folder(root, version, "cpu", path);
    const [quota, period] =
      version === 2
        ? (read(join(at, "cpu.max")) ?? "").split(" ")
        : [read(join(at, "cpu.cfs_quota_us")), read(join(at, "cpu.cfs_period_us"))];
    const [used, of] = [number(quota), number(period)];
    return typeof used === "number" && typeof of === "number" ? used / of : used;
  },
} as const;
