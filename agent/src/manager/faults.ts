import { fault } from "../operations";

/** Where tests kill berthd between two steps of the manager's. */
export const managerFaultPoints = [
  "manager:before-note",
  "manager:after-note",
  "manager:before-ready",
  "manager:after-ready",
  "manager:before-claim",
  "manager:after-claim",
  "manager:before-leave",
  "manager:after-leave",
  "manager:before-forget",
  "manager:after-forget",
  "manager:before-adopt",
  "manager:after-adopt",
] as const;

/** As `fault` of the operations. */
export const reached = (point: (typeof managerFaultPoints)[number]) => fault(point);
