/** Limits on all containers of a user, and of a group, together: systemd's slices. */
export {
  applySlices,
  SliceError,
  type SliceExec,
  type SliceOptions,
  type SliceReport,
  Slices,
} from "./apply";
export { cgroupVersion, inUse, type Unheld, unheldLimits } from "./cgroup";
export { systemExec } from "./exec";
export { type CgroupVersion, desiredSlices, SliceNameError, type SliceUnit } from "./render";
