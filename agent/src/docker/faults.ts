/**
 * Where berthd may die, for the tests that kill it there: one point before and one after each thing that it waits for
 * on a container's way. Without both variables in the environment a point does nothing.
 */
export const faultPoints = [
  "create:before-reserve",
  "create:after-reserve",
  "create:before-create",
  "create:after-create",
  "create:before-start",
  "create:after-start",
  "create:before-bind",
  "create:after-bind",
  "remove:before-stop",
  "remove:after-stop",
  "remove:before-remove",
  "remove:after-remove",
  "remove:before-release",
  "remove:after-release",
] as const;
export type FaultPoint = (typeof faultPoints)[number];

/** Kills this very process, as a crash would, when `BERTH_FAULT` names the point and `BERTH_FAULTS_ALLOWED` is 1. */
export function fault(point: FaultPoint): void {
  if (process.env.BERTH_FAULTS_ALLOWED !== "1" || process.env.BERTH_FAULT !== point) return;
  process.kill(process.pid, "SIGKILL");
  // The signal may take a moment; nothing more happens meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
}
