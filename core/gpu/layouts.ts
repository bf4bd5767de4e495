import { migModelOf } from "./mig-profiles";
import type { Gpu, Grant, Inventory } from "./model";
import { countsOf, mostOf } from "./placements";

/**
 * A GPU is divided anew only while nobody holds any of it: a new layout takes every instance away, also those of a
 * stopped container that is to get them back. So asked by a preview, and by the node before it takes up other GPUs. Pure.
 */

/** How a GPU is divided: instances by profile, `MOST` of them where only the node knows how many fit, or not at all. */
type Layout = Record<string, number> | "whole";
const MOST = Number.POSITIVE_INFINITY;

function layoutOf({ mig, instances }: Gpu): Layout {
  if (!mig) return "whole";
  return countsOf(instances.map(({ profile }) => profile));
}

const text = (layout: Layout): string =>
  layout === "whole"
    ? "not divided"
    : Object.entries(layout)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([profile, count]) =>
          count === MOST ? `all ${profile} that it holds` : `${count} × ${profile}`,
        )
        .join(", ") || "divided into nothing";

/** One of which nobody here knows how many fit is as wanted when it is divided into nothing else. */
function same(has: Layout, wanted: Layout): boolean {
  if (has === "whole" || wanted === "whole") return has === wanted;
  const [profile, ...others] = Object.keys(has);
  if (profile !== undefined && others.length === 0 && wanted[profile] === MOST) return true;
  return text(has) === text(wanted);
}

/** How GPUs are to be divided: which (`all`, an index, a UUID), and into what: counts by profile, `all-PROFILE`, `disabled`. */
export type MigLayouts = readonly {
  gpu: string | number;
  layout: string | Record<string, number>;
  /** A GPU that cannot be divided so is left as it is. */
  optional?: boolean;
}[];

/** What the stack wants of a node's GPUs. */
export interface Wanted {
  /** What it declares that the node has; or */
  declared?: Inventory;
  /** how it wants the GPUs divided that the node's driver shows. */
  mig?: MigLayouts;
}

/** What a GPU can be divided into: as its driver says, else as the table has its model. Undefined: nobody here knows. */
function offeredBy({ profiles, model, memoryMiB }: Gpu): Record<string, number> | undefined {
  if (profiles) return profiles;
  const row = migModelOf(model, memoryMiB);
  return row && Object.fromEntries(Object.keys(row.profiles).map((name) => [name, mostOf(row, name)]));
}

/**
 * The layout that the stack wants of a GPU; undefined where it leaves it as it is. A GPU that the stack names and nobody
 * here knows is taken to be divided as wanted: its holder is asked for rather than surprised.
 */
function wantedOf(gpu: Gpu, mig: MigLayouts): Layout | undefined {
  const entry = mig.find(({ gpu: which }) => which === "all" || which === gpu.index || which === gpu.uuid);
  if (!entry) return undefined;
  const offered = offeredBy(gpu);
  // "all" passes over a GPU that cannot be divided. One that nobody here knows counts as such: a berthd from before
  // `profiles` says nothing of a T4, and the node, which does know, asks its ledger again before it cuts.
  if (entry.gpu === "all" && !gpu.mig && Object.keys(offered ?? {}).length === 0) return undefined;
  if (typeof entry.layout !== "string") return entry.layout;
  const profile = entry.layout.replace(/^all-/, "");
  if (profile === "disabled") return "whole";
  const most = offered?.[profile];
  if (most) return { [profile]: most };
  // What the driver does not offer is refused on the node, and the default of the limits is for those that have it.
  const left = gpu.profiles !== undefined || entry.optional === true;
  return left ? undefined : { [profile]: MOST };
}

interface Change {
  gpu: Gpu;
  to: Layout | "gone";
  /** The driver's MIG mode goes on or off, for which all GPUs of the node are reset. */
  resets: boolean;
}

/** The GPUs that are to be divided otherwise than they are, or taken away. */
function changesOf(now: Inventory, { declared, mig = [] }: Wanted): Change[] {
  const next = new Map(declared?.gpus.map((gpu) => [gpu.uuid, layoutOf(gpu)]));
  // A declared GPU that is no longer declared is taken away, which its holders would not outlive either.
  const declares = declared !== undefined || now.source === "declared";
  return now.gpus.flatMap((gpu): Change[] => {
    const has = layoutOf(gpu);
    const to = declares ? (next.get(gpu.uuid) ?? "gone") : wantedOf(gpu, mig);
    if (to === undefined || (to !== "gone" && same(has, to))) return [];
    return [{ gpu, to, resets: !declares && (has === "whole") !== (to === "whole") }];
  });
}

const named = ({ index, uuid }: Gpu) => `GPU ${index} (${uuid})`;

function changeText({ gpu, to, resets }: Change): string {
  if (to === "gone") return `${named(gpu)} is no longer declared`;
  const wanted = to === "whole" ? "whole" : `divided into ${text(to)}`;
  const reset = resets ? ", which switches its MIG mode and so resets all GPUs of the node" : "";
  return `${named(gpu)} is ${text(layoutOf(gpu))} and is to be ${wanted}${reset}`;
}

/**
 * Why GPUs cannot be divided as the stack wants now: one text for each, with who holds what of it.
 *
 * @param now what the node has, and `grants` who holds it.
 */
export function heldLayouts(now: Inventory, grants: readonly Grant[], wanted: Wanted): string[] {
  const changes = new Map(changesOf(now, wanted).map((change) => [change.gpu.uuid, change]));
  const switched = [...changes.values()].filter(({ resets }) => resets).map(({ gpu }) => gpu.index);
  return now.gpus.flatMap((gpu) => {
    const change = changes.get(gpu.uuid);
    if (!change && switched.length === 0) return [];
    const holders = grants.flatMap(({ user, key, id, units }) => {
      const names = units.filter((unit) => unit.gpu === gpu.uuid).map(({ name }) => name);
      return names.length > 0 ? [`${user} (${key ?? id}) holds ${names.join(", ")}`] : [];
    });
    if (holders.length === 0) return [];
    const what = change
      ? changeText(change)
      : `${named(gpu)} would be reset, since the MIG mode of GPU ${switched.join(", ")} is switched, which resets all ` +
        "GPUs of the node";
    const gone = change?.to === "gone";
    const only = gone ? "taken away" : change ? "divided anew" : "divided anew or reset";
    const first = gone ? "declare it as before, take" : "take";
    return [
      `${what}, and ${holders.join("; ")}. A GPU is ${only} only while nobody holds any of it: ${first} those grants out ` +
        "of the stack (users[].gpu, nodes[].ray.gpu) or release them (berth gpu release), run it, then " +
        `${gone ? "take the GPU out" : "change the layout"}`,
    ];
  });
}

/**
 * Why a layout is not changed while the node does not say who holds what; undefined where none changes.
 *
 * @param known what the node had when it was last asked; undefined: nobody knows.
 * @param wanted what is new of it.
 * @param why the node was not asked.
 */
export function unseenLayouts(known: Inventory | undefined, wanted: Wanted, why: string): string | undefined {
  const changes = known ? changesOf(known, wanted).map(changeText) : [];
  const unknown = !known && (wanted.declared !== undefined || (wanted.mig ?? []).length > 0);
  if (changes.length === 0 && !unknown) return undefined;
  const what = unknown ? "its GPUs are to be divided otherwise" : changes.join("; ");
  return (
    `${what}, and who holds them is not known (${why}). A GPU is divided anew only while nobody holds any of it: run ` +
    "the stack with the layout as it was until the node answers (on it: systemctl status berthd), then change the layout"
  );
}
