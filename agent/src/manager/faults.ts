/** Where tests kill berthd between two steps of the manager's, as `fault` of the operations does. */
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
] as const;

export type ManagerFaultPoint = (typeof managerFaultPoints)[number];
