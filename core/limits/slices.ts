import { sliceWord } from "./names";

/** Names of the slices: berth.slice holds a slice for every group, which holds one for every user in it. */

/** What runs containers decides how a container's parent is written; Berth sets Docker up with cgroupfs. */
export type CgroupDriver = "cgroupfs" | "systemd";

/** The group is the one that decides for the user (`resolveLimits(…).group`). */
export interface SliceUser {
  name: string;
  group: string;
}

export const ROOT_SLICE = "berth.slice";

/** `berth-student.slice`. A `-` in a slice's name means "inside of", so names have `_` in its place. */
export const groupSlice = (group: string): string => `berth-${sliceWord(group)}.slice`;

/** `berth-student-alice.slice`. */
export const userSlice = ({ name, group }: SliceUser): string =>
  `berth-${sliceWord(group)}-${sliceWord(name)}.slice`;

/** Where a slice is below the root of the cgroups: `/berth.slice/berth-student.slice/berth-student-alice.slice`. */
export function slicePath(slice: string): string {
  const words = slice.replace(/\.slice$/, "").split("-");
  return words.map((_, i) => `/${words.slice(0, i + 1).join("-")}.slice`).join("");
}

/**
 * What Docker wants as `CgroupParent` of a user's container: a path with cgroupfs, the slice's name with systemd.
 * The slice has to be active before, or its limits hold only from when it is.
 */
export function cgroupParent(user: SliceUser, driver: CgroupDriver): string {
  return driver === "systemd" ? userSlice(user) : slicePath(userSlice(user));
}
