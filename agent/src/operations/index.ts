/** The journal of acts of several steps. */

export { fault, faultPoints, OPERATIONS, type OperationKind } from "./kinds";
export { NotNoted, type Operation, Operations, type Step, UNDO } from "./operations";
