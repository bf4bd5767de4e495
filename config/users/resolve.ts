import { DEFAULT_GROUP, resolveLimits } from "../../core/limits";
import type { UserPlan } from "../plan";
import type { StackConfig, UserConfig } from "../schema";

/** Whether a user's workspace is there and runs, what it may use, and which group's limits hold for it. Pure. */

/** Whether the user has a workspace, running or stopped: its folders, its container and its GPUs. */
export const hasWorkspace = ({ state }: Pick<UserPlan, "state">) => state !== "removed";

/** Whether the workspace is to run: for all that starts it, keeps it up or stops it. */
export const mustRun = ({ state }: Pick<UserPlan, "state">) => state === "running";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** What a workspace gets when neither the user nor `berth:workspaces` says. */
export const defaultResources = {
  cpus: 2,
  memory: 3 * GiB,
  memoryReservation: 512 * MiB,
  shm: 256 * MiB,
  pids: 4096,
};

export function userResources(config: StackConfig, user: UserConfig): UserPlan["resources"] {
  const pick = <K extends keyof typeof defaultResources>(key: K): number =>
    user[key] ?? config.workspaces[key] ?? defaultResources[key];
  const memoryBytes = pick("memory");
  return {
    cpus: pick("cpus"),
    memoryBytes,
    memoryReservationBytes: Math.min(pick("memoryReservation"), memoryBytes),
    shmBytes: Math.min(pick("shm"), memoryBytes),
    pids: pick("pids"),
  };
}

/** The group that decides for a user. */
export function groupOfUser({ limits }: Pick<StackConfig, "limits">, user: UserConfig): string {
  return resolveLimits(limits, user.name, user.group).group ?? DEFAULT_GROUP;
}
