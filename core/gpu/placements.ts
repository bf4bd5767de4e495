import {
  hasMedia,
  MIG_MODELS,
  MIG_PROFILES,
  type MigCounts,
  type MigModel,
  migModelOf,
  profileTable,
} from "./mig-profiles";

/** One entry for each instance. */
export const profilesOf = (counts: MigCounts): string[] =>
  Object.entries(counts).flatMap(([profile, count]) => Array<string>(count).fill(profile));

/** How many there are of each profile. */
export function countsOf(profiles: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const profile of profiles) counts[profile] = (counts[profile] ?? 0) + 1;
  return counts;
}

/** Where an instance lies: memory slices `start` to `start + size - 1`. */
export interface MigPlacement {
  profile: string;
  start: number;
  size: number;
  /** GPU instance id, numbered as the driver does: the whole GPU 0, halves from 1, quarters from 3, eighths from 7. */
  gi: number;
}

/**
 * Places for the instances of one GPU, by GPU instance id; undefined when they do not fit together.
 * The same profiles in any order find the same places.
 */
export function placeInstances(model: MigModel, profiles: readonly string[]): MigPlacement[] | undefined {
  const shapes = profiles.map((profile) => ({ profile, shape: model.profiles[profile] }));
  if (profiles.filter(hasMedia).length > 1) return undefined;
  // The largest first, and among equals the one with the fewest places: there is the least room for them.
  shapes.sort(
    (a, b) =>
      (b.shape?.size ?? 0) - (a.shape?.size ?? 0) ||
      (a.shape?.starts.length ?? 0) - (b.shape?.starts.length ?? 0) ||
      (a.profile < b.profile ? -1 : a.profile > b.profile ? 1 : 0),
  );
  const taken = new Set<number>();
  const found: Omit<MigPlacement, "gi">[] = [];
  const place = (at: number): boolean => {
    const next = shapes[at];
    if (!next) return true;
    const { profile, shape } = next;
    for (const start of shape?.starts ?? []) {
      const slices = Array.from({ length: shape?.size ?? 0 }, (_, i) => start + i);
      if (slices.some((slice) => taken.has(slice))) continue;
      for (const slice of slices) taken.add(slice);
      found.push({ profile, start, size: slices.length });
      if (place(at + 1)) return true;
      found.pop();
      for (const slice of slices) taken.delete(slice);
    }
    return false;
  };
  if (!place(0)) return undefined;
  const slices = memorySlices(model);
  const used = new Map<number, number>();
  return found
    .sort((a, b) => b.size - a.size || a.start - b.start)
    .map((placement) => {
      const first = slices / placement.size - 1;
      const gi = first + (used.get(first) ?? 0);
      used.set(first, gi - first + 1);
      return { ...placement, gi };
    });
}

/** Into how many memory slices the model is divided: those of its largest profile. */
export function memorySlices(model: MigModel): number {
  return Math.max(...Object.values(model.profiles).map(({ size }) => size));
}

/** True when all instances find a place on one such GPU. Profiles that it does not have never fit. */
export const fitsModel = (model: MigModel, counts: MigCounts): boolean =>
  Object.values(counts).every((count) => count <= 8) &&
  placeInstances(model, profilesOf(counts)) !== undefined;

/** How many instances of one profile a GPU holds. */
export function mostOf(model: MigModel, profile: string): number {
  let count = 0;
  while (fitsModel(model, { [profile]: count + 1 })) count++;
  return count;
}

interface LayoutProblem {
  problem: string;
  allowed: string;
}

/**
 * What the table says against the instances of one GPU, or undefined. Right is what finds a place on one model at least:
 * which one a node has, and whether it is one of the table, is known there alone.
 */
export function countsProblem(counts: MigCounts): LayoutProblem | undefined {
  const profiles = Object.keys(counts);
  const unknown = profiles.find((profile) => !MIG_PROFILES.includes(profile));
  if (unknown !== undefined) return { problem: `has no MIG profile "${unknown}"`, allowed: profileTable() };
  const models = MIG_MODELS.filter((model) => profiles.every((profile) => model.profiles[profile]));
  if (models.length === 0)
    return { problem: "has profiles that no one GPU model has together", allowed: profileTable() };
  return fitsOne(models, counts);
}

function fitsOne(models: readonly MigModel[], counts: MigCounts): LayoutProblem | undefined {
  if (models.some((model) => fitsModel(model, counts))) return undefined;
  const most = (profile: string) => Math.max(...models.map((model) => mostOf(model, profile)));
  const each = Object.keys(counts).map((profile) => `${most(profile)} × ${profile}`);
  return {
    problem: `does not fit on one GPU (${models.map(({ name }) => name).join(", ")})`,
    allowed: `at most ${each.join(", ")}, each alone on a GPU`,
  };
}

/** What is wrong with the instances of a GPU of that name, or undefined. */
export function divisionProblem(
  model: string,
  memoryMiB: number,
  counts: MigCounts,
): LayoutProblem | undefined {
  const row = migModelOf(model, memoryMiB);
  if (!row)
    return {
      problem: `divides "${model}", and Berth knows no GPU of that name that can be (MIG)`,
      allowed: `no mig, or a model such as ${MIG_MODELS.map(({ name }) => name).join(", ")}`,
    };
  const unknown = Object.keys(counts).filter((profile) => !row.profiles[profile]);
  if (unknown.length > 0)
    return {
      problem: `has ${unknown.map((profile) => `"${profile}"`).join(", ")}, which ${row.name} does not offer`,
      allowed: Object.keys(row.profiles).join(", "),
    };
  return fitsOne([row], counts);
}
