import { hasMedia, type MigModel } from "./mig-profiles";

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
