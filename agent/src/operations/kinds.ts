/**
 * The kinds of operations, each with its steps in order. An operation is noted before it begins and before each further
 * step, and brought to an end by its kind's `recover` where berthd was cut off in between.
 */
export const OPERATIONS = {
  /** A container, with the GPUs that it is to have. */
  create: ["reserve", "create", "bind", "start"],
  /** The removal of such a container. */
  remove: ["stop", "remove", "release"],
  /** The set-up of a managed container. */
  setup: ["accept", "clone", "place", "install", "image", "start"],
  /** The removal of all that a tenant had. */
  leave: ["containers", "volumes", "images", "packages", "logs", "keys"],
} as const satisfies Record<string, readonly string[]>;

export type OperationKind = keyof typeof OPERATIONS;
export type StepOf<Kind extends OperationKind> = (typeof OPERATIONS)[Kind][number];

/** One before and one after each step, as the runner names them: `create:before-start`. */
export const faultPoints: readonly string[] = Object.entries(OPERATIONS).flatMap(([kind, steps]) =>
  steps.flatMap((step) => [`${kind}:before-${step}`, `${kind}:after-${step}`]),
);

/**
 * Kills this very process, as a crash would, when `BERTH_FAULT` names the point and `BERTH_FAULTS_ALLOWED` is 1: tests
 * kill berthd there. Without both in the environment it does nothing.
 */
export function fault(point: string): void {
  if (process.env.BERTH_FAULTS_ALLOWED !== "1" || process.env.BERTH_FAULT !== point) return;
  process.kill(process.pid, "SIGKILL");
  // The signal may take a moment; nothing more happens meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
}
