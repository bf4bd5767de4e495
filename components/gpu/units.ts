import { type Assignment, type GrantedUnit, type Inventory, memoryWords } from "../../core/gpu";
import type { PoolInputs } from "./inputs";

/** Who has what, as a GpuPool keeps it: `assignment` for programs, `grants` for people. Pure. */

/** The properties of a GpuPool that say who has what. */
export type Granted = Required<Pick<PoolInputs, "assignment" | "grants">>;

/**
 * A granted unit for people:
 * `0:1 1g.10gb, 9984 MiB: MIG-… on GPU-… (NVIDIA H100 80GB HBM3)`, `0, 81559 MiB: GPU-… (…)`,
 * `0 shared, 20480 MiB: GPU-… (…)`, and `memory unknown` where the driver does not say it.
 */
export function unitLine(unit: GrantedUnit): string {
  const kind = unit.profile ?? (unit.shared ? "shared" : undefined);
  const where = unit.uuid === unit.gpu ? unit.uuid : `${unit.uuid} on ${unit.gpu}`;
  return `${unit.name}${kind === undefined ? "" : ` ${kind}`}, ${memoryWords(unit.memoryMiB)}: ${where} (${unit.model})`;
}

/** Sorted by key; of each unit what {@link GrantedUnit} names, and nothing else that a node may say of it. */
export function granted(assignment: Assignment): Granted {
  const sorted = Object.entries(assignment)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, units]) => [key, units.map(plainUnit)] as const);
  return {
    assignment: Object.fromEntries(sorted),
    grants: Object.fromEntries(sorted.map(([key, units]) => [key, units.map(unitLine)])),
  };
}

function plainUnit({ uuid, gpu, name, model, memoryMiB, profile, shared }: GrantedUnit): GrantedUnit {
  return { uuid, gpu, name, model, memoryMiB, ...(profile === undefined ? {} : { profile }), shared };
}

/** What a node's own faults say of the GPUs that the stack declares: a declared GPU is as ill as the node says. */
export function withFaults(declared: Inventory, seen: Inventory | undefined): Inventory {
  const faults = new Map(seen?.gpus.map(({ uuid, quarantined }) => [uuid, quarantined]));
  return {
    ...declared,
    gpus: declared.gpus.map((gpu) => {
      const quarantined = faults.get(gpu.uuid);
      return quarantined === undefined ? gpu : { ...gpu, quarantined };
    }),
  };
}
