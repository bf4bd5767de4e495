/** Labels on every Docker object of Berth: whose it is, and what for. */
export interface Ownership {
  stack: string;
  /** A user's name, or `system`. */
  owner: string;
  component: string;
  node?: string;
}

/** As `docker.Container`, `docker.Network` and `docker.Volume` take them, in a stable order. */
export function labels(of: Ownership): { label: string; value: string }[] {
  return [
    { label: "berth.component", value: of.component },
    ...(of.node !== undefined ? [{ label: "berth.node", value: of.node }] : []),
    { label: "berth.owner", value: of.owner },
    { label: "berth.stack", value: of.stack },
  ];
}

/** `berth-<stack>-<part>-…`, lower case: the name of a Docker object. */
export function physicalName(stack: string, ...parts: string[]): string {
  return ["berth", stack, ...parts].join("-").toLowerCase();
}

/**
 * CPUs as `docker.Container` takes them. A whole number is written "2.0": the official provider reads it back so, and
 * would show "2" as a change for ever.
 */
export function dockerCpus(cpus: number): string {
  return Number.isInteger(cpus) ? cpus.toFixed(1) : String(cpus);
}
