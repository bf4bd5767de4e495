import { memoryWords, sameProfile, unitMeets } from "./asks";
import type { GpuUse } from "./gpu-use";
import type { Ask } from "./model";

/** What a node has for an ask, whoever holds it now. */
export interface Capacity {
  /** Whether there is a GPU of the model that is asked for, and one of it with the profile. */
  model: boolean;
  profile: boolean;
  /** Units that are meant; for a share, GPUs that are large enough. Those in quarantine are counted. */
  units: number;
  /** What is said of GPUs in quarantine that have such. */
  quarantined: string[];
  /** All that the node has: `2 whole GPUs (NVIDIA H100 80GB HBM3, 81559 MiB); MIG instances: 7 of 1g.10gb`. */
  offers: string;
  /** `7 of 1g.10gb, 1 of 3g.40gb`; empty: none. */
  profiles: string;
}

export function capacityOf(uses: readonly GpuUse[], ask: Ask): Capacity {
  const model = ask.model?.toLowerCase();
  const of = uses.filter((use) => model === undefined || use.model.includes(model));
  const { profile } = ask;
  const instances = countProfiles(uses);
  const counted = of.map((use) => ({ use, units: meant(use, ask) })).filter(({ units }) => units > 0);
  return {
    model: of.length > 0,
    profile:
      profile === undefined ||
      of.some((use) => use.instances.some((unit) => sameProfile(profile, unit.profile))),
    units: counted.reduce((sum, { units }) => sum + units, 0),
    quarantined: counted
      .filter(({ use }) => use.gpu.quarantined !== undefined)
      .map(({ use: { gpu } }) => `GPU ${gpu.index} is quarantined: ${gpu.quarantined}`),
    offers: offerWords(
      uses.filter(({ gpu }) => !gpu.mig),
      instances,
    ),
    profiles: profileWords(instances),
  };
}

function meant(use: GpuUse, ask: Ask): number {
  if (ask.kind === "mig") return use.instances.filter((unit) => unitMeets(ask, unit)).length;
  if (use.gpu.mig) return 0;
  if (ask.kind === "share") return use.gpu.memoryMiB >= (ask.memoryMiB ?? 0) ? 1 : 0;
  return unitMeets(ask, use.whole) ? 1 : 0;
}

function countProfiles(uses: readonly GpuUse[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { profile = "" } of uses.flatMap(({ instances }) => instances)) {
    counts.set(profile, (counts.get(profile) ?? 0) + 1);
  }
  return counts;
}

/** Whole GPUs by model, and instances by profile, in words. */
export function offerWords(wholes: readonly GpuUse[], instances: ReadonlyMap<string, number>): string {
  const models = new Map<string, number>();
  for (const { gpu } of wholes) {
    const name = `${gpu.model}, ${memoryWords(gpu.memoryMiB)}`;
    models.set(name, (models.get(name) ?? 0) + 1);
  }
  const parts = [...models].map(([model, count]) => `${count} whole GPU${count === 1 ? "" : "s"} (${model})`);
  if (instances.size > 0) parts.push(`MIG instances: ${profileWords(instances)}`);
  return parts.join("; ") || "nothing";
}

function profileWords(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([profile, count]) => `${count} of ${profile}`)
    .join(", ");
}
