import {
  type EffectiveTotal,
  groupSlice,
  type LimitsDocument,
  ROOT_SLICE,
  resolveGroupTotal,
  resolveLimits,
  resolveUserTotal,
  slicePath,
  userSlice,
} from "../../../core/limits";

/**
 * From a limits document to systemd's slices, which hold all containers of a user, and of a group, together: whatever
 * a container does, it cannot leave its cgroup. Pure.
 */

/** First line of every file of ours; a slice without it belongs to somebody else and is left alone. */
export const HEADER = "# Written by Berth: a change here is lost.";

/** 1 also where both are mounted: the controllers are those of version 1 then. */
export type CgroupVersion = 1 | 2;

export interface SliceUnit {
  /** `berth-student-alice.slice`. */
  name: string;
  /** The unit file. */
  content: string;
  /** Below the root of the cgroups. */
  path: string;
  /** What the kernel is to hold: `null` for no limit. Memory in bytes. */
  limits: { max_cpus: number | null; memory: number | null; max_tasks: number | null };
}

/** Two users, or two groups, whose names would be one slice. */
export class SliceNameError extends Error {
  override readonly name = "SliceNameError";
}

const none: SliceUnit["limits"] = { max_cpus: null, memory: null, max_tasks: null };

/**
 * Every slice that a node needs, parents first and in the order of their names.
 *
 * @param users the users of the node, with the group that the stack gives them.
 * @throws SliceNameError where two names differ in `-` and `_` alone.
 */
export function desiredSlices(
  document: LimitsDocument,
  users: readonly { name: string; group?: string | undefined }[],
  cgroup: CgroupVersion,
): SliceUnit[] {
  const units = new Map<string, SliceUnit>();
  const owners = new Map<string, string>();
  const clashes: string[] = [];
  const add = (name: string, owner: string, description: string, limits: SliceUnit["limits"]) => {
    const other = owners.get(name);
    if (other !== undefined && other !== owner) clashes.push(`${other} and ${owner} would both be ${name}`);
    owners.set(name, owner);
    units.set(name, {
      name,
      content: unitFile(description, limits, cgroup),
      path: slicePath(name),
      limits,
    });
  };

  add(ROOT_SLICE, "Berth", "Containers of Berth", none);
  for (const { name, group: given } of users) {
    const { group } = resolveLimits(document, name, given);
    add(
      groupSlice(group),
      `group ${group}`,
      `Containers of group ${group}`,
      values(resolveGroupTotal(document, group)),
    );
    const own = userSlice({ name, group });
    add(own, `user ${name}`, `Containers of ${name}`, values(resolveUserTotal(document, name, given)));
    if (cgroup === 2)
      add(keeperOf(own), `user ${name}'s keeper`, `Keeps the controllers of ${name}'s containers`, none);
  }
  if (clashes.length > 0)
    throw new SliceNameError(
      `In the names of systemd's slices '-' and '_' count alike: ${clashes.join("; ")}. Rename one of each pair.`,
    );
  return [...units.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/**
 * An empty slice beside the containers. systemd gives a slice's children the controllers that its own units need, and
 * takes the others away at every daemon-reload; containers started with the cgroupfs driver are no units, and would
 * lose their own limits. The keeper is a unit that needs them. Version 1 has nothing of the kind.
 */
const keeperOf = (slice: string) => slice.replace(/\.slice$/, "-keep.slice");

function values(total: EffectiveTotal): SliceUnit["limits"] {
  return {
    max_cpus: total.max_cpus.value,
    memory: total.memory.value,
    max_tasks: total.max_tasks.value,
  };
}

/**
 * The file. Accounting is always on: a controller that a slice stops using is given up by systemd, and what it had set
 * would stay. MemoryMax, CPUQuota and TasksMax are taken for version 1 too (memory.limit_in_bytes, cpu.cfs_quota_us,
 * pids.max); MemoryHigh and swap are version 2 alone. A limit on memory counts swap in, as for the containers.
 */
function unitFile(description: string, limits: SliceUnit["limits"], cgroup: CgroupVersion): string {
  const lines = [
    HEADER,
    "[Unit]",
    `Description=${description}`,
    // The engine starts containers by itself after a boot: their limits come first.
    "Before=docker.service",
    "",
    "[Slice]",
    "CPUAccounting=yes",
    "MemoryAccounting=yes",
    "TasksAccounting=yes",
    ...(cgroup === 2 ? ["IOAccounting=yes"] : []),
    ...properties(limits, cgroup),
  ];
  return `${lines.join("\n")}\n`;
}

/** The limits in systemd's words, also those that there are not. */
export function properties(limits: SliceUnit["limits"], cgroup: CgroupVersion): string[] {
  const { max_cpus: cpus, memory, max_tasks: tasks } = limits;
  return [
    // Hundredths of a CPU, whole: systemd takes no fractions of a percent before version 256.
    `CPUQuota=${cpus === null ? "" : `${Math.max(1, Math.round(cpus * 100))}%`}`,
    `MemoryMax=${memory ?? "infinity"}`,
    ...(cgroup === 2 ? [`MemorySwapMax=${memory === null ? "infinity" : "0"}`] : []),
    `TasksMax=${tasks ?? "infinity"}`,
  ];
}
