/** Limits on all containers of a user, and of a group, together: systemd's slices. */
export { applySlices, SliceError, type SliceExec, type SliceReport, Slices } from "./apply";
export { cgroupVersion, inUse, unheldLimits } from "./cgroup";
export { systemExec } from "./exec";
export { desiredSlices, SliceNameError } from "./render";
