/**
 * What NVIDIA's data-centre GPUs can be divided into (MIG). Pure data and a search for places.
 *
 * Sources: NVIDIA's MIG User Guide, "Supported MIG Profiles" (names, how many of each), and the placements that
 * `nvidia-smi mig -lgipp` prints: where an instance may start and how many eighths (A30: quarters) of the memory it
 * takes. The names of the newest models are also in the default configuration of NVIDIA's mig-parted. The table is never a
 * gate for real GPUs, of which there are more kinds than it knows, and drivers rename profiles: on the node the driver is
 * asked, and a preview says what the table does not know. Declared GPUs have no driver: they are of a model in it.
 */

interface Shape {
  /** Memory slices an instance takes: eighths, quarters (A30) or twelfths (RTX PRO) of the GPU. */
  size: number;
  /** Memory slices it may start at. */
  starts: readonly number[];
}

export interface MigModel {
  /** As people say it, such as `H100 80GB`. */
  name: string;
  /** Profile names with their shapes. */
  profiles: Readonly<Record<string, Shape>>;
}

/** GPUs of seven compute and eight memory slices; `small` is a seventh's memory in its name, and so on. */
function sevenths(name: string, small: number, double: number, half: number, whole: number): MigModel {
  return {
    name,
    profiles: {
      [`1g.${small}gb`]: { size: 1, starts: [0, 1, 2, 3, 4, 5, 6] },
      [`1g.${small}gb+me`]: { size: 1, starts: [0, 1, 2, 3, 4, 5, 6] },
      [`1g.${double}gb`]: { size: 2, starts: [0, 2, 4, 6] },
      [`2g.${double}gb`]: { size: 2, starts: [0, 2, 4] },
      [`3g.${half}gb`]: { size: 4, starts: [0, 4] },
      [`4g.${half}gb`]: { size: 4, starts: [0] },
      [`7g.${whole}gb`]: { size: 8, starts: [0] },
    },
  };
}

/** Profiles that differ in their engines alone. */
const each = (names: readonly string[], size: number, starts: readonly number[]) =>
  Object.fromEntries(names.map((name) => [name, { size, starts }]));

export const MIG_MODELS: readonly MigModel[] = [
  sevenths("A100 40GB", 5, 10, 20, 40),
  sevenths("A100 80GB", 10, 20, 40, 80),
  {
    name: "A30",
    profiles: {
      "1g.6gb": { size: 1, starts: [0, 1, 2, 3] },
      "1g.6gb+me": { size: 1, starts: [0, 1, 2, 3] },
      "2g.12gb": { size: 2, starts: [0, 2] },
      "2g.12gb+me": { size: 2, starts: [0, 2] },
      "4g.24gb": { size: 4, starts: [0] },
    },
  },
  sevenths("H100 80GB", 10, 20, 40, 80),
  sevenths("H100 94GB", 12, 24, 47, 94),
  sevenths("H100 96GB", 12, 24, 48, 96),
  sevenths("H20 96GB", 12, 24, 48, 96),
  sevenths("H20 141GB", 18, 35, 71, 141),
  sevenths("H200 141GB", 18, 35, 71, 141),
  sevenths("B200", 23, 45, 90, 180),
  sevenths("GB200", 23, 47, 93, 186),
  sevenths("GH200 144GB", 18, 36, 72, 144),
  sevenths("B300", 34, 67, 135, 269),
  sevenths("GB300", 35, 70, 139, 278),
  {
    // Workstation, Max-Q and Server Edition: `mig -lgip` and `mig -lgipp` of driver 580.
    name: "RTX PRO 6000 Blackwell",
    profiles: {
      ...each(["1g.24gb", "1g.24gb+me", "1g.24gb+gfx", "1g.24gb+me.all", "1g.24gb-me"], 3, [0, 3, 6, 9]),
      ...each(["2g.48gb", "2g.48gb+gfx", "2g.48gb+me.all", "2g.48gb-me"], 6, [0, 6]),
      ...each(["4g.96gb", "4g.96gb+gfx"], 12, [0]),
    },
  },
];

/**
 * The row of a GPU as the driver names it, such as `NVIDIA A100-SXM4-40GB`; where a name stands for several
 * (`NVIDIA H100 NVL`), the one with the nearest memory. Undefined: it cannot be divided, or is not known.
 */
export function migModelOf(model: string, memoryMiB: number): MigModel | undefined {
  const words = new Set(model.toUpperCase().split(/[^A-Z0-9]+/));
  const gib = memoryMiB / 1024;
  // A GH200 with 96 GB is divided as an H100 with 96 GB.
  if (words.has("GH200") && gib < 120) return MIG_MODELS.find(({ name }) => name === "H100 96GB");
  const distance = ({ name }: MigModel) => Math.abs(Number(/ (\d+)GB$/.exec(name)?.[1] ?? gib) - gib);
  const named = ({ name }: MigModel) =>
    name
      .toUpperCase()
      .split(" ")
      .every((word) => words.has(word) || /^\d+GB$/.test(word));
  return MIG_MODELS.filter(named).sort((a, b) => distance(a) - distance(b))[0];
}

/** Instances by profile: `{ "1g.10gb": 2, "3g.40gb": 1 }`. */
export type MigCounts = Readonly<Record<string, number>>;

/** Engines that exist once, or all of them (`+me.all`): one instance of a GPU may have them. */
export const hasMedia = (profile: string) => /\+me(\.all)?$/.test(profile);

/** What the name of a profile looks like, whichever GPU has it: `1g.10gb`, `1g.24gb+me.all`, `2g.48gb-me`. */
const PROFILE = /^\d{1,2}g\.\d{1,4}gb([+-][a-z][a-z.]{0,15})*$/;

export const isProfileName = (name: string): boolean => PROFILE.test(name);

/** Every profile name known, each once. */
export const MIG_PROFILES: readonly string[] = [
  ...new Set(MIG_MODELS.flatMap((model) => Object.keys(model.profiles))),
];

/** `1g.10gb (H100 80GB, A100 80GB), …`: what a message offers. */
export function profileTable(): string {
  return MIG_MODELS.map((model) => `${model.name}: ${Object.keys(model.profiles).join(" ")}`).join("; ");
}
