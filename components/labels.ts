import { createHash } from "node:crypto";

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

/** DigitalOcean's limit on a volume's name. */
const VOLUME_NAME = 64;

/**
 * A volume's name in the account, which the machine shows as the disk's serial number: `berth-<stack>-<name>`. What is
 * longer than 64 characters ends in a hash of the whole.
 */
export function volumeName(stack: string, name: string): string {
  const whole = physicalName(stack, name);
  if (whole.length <= VOLUME_NAME) return whole;
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, 8);
  return `${whole.slice(0, VOLUME_NAME - 9)}-${hash}`;
}
