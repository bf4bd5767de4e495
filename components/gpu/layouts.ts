import type { Gpu, Grant, Inventory } from "../../agent/src/core/model";
import { migModelOf, mostOf } from "../../config/mig-profiles";
import type { MigConfig } from "../../config/schema-runtime";

/**
 * A GPU is divided anew only while nobody holds any of it: a new layout takes every instance away, also those of a
 * stopped container that is to get them back. Pure.
 */

/** How a GPU is divided: instances by profile, or not at all. */
type Layout = Record<string, number> | "whole";

function layoutOf({ mig, instances }: Gpu): Layout {
  if (!mig) return "whole";
  const counts: Record<string, number> = {};
  for (const { profile } of instances) counts[profile] = (counts[profile] ?? 0) + 1;
  return counts;
}

const text = (layout: Layout): string =>
  layout === "whole"
    ? "not divided"
    : Object.entries(layout)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([profile, count]) => `${count} × ${profile}`)
        .join(", ") || "divided into nothing";

/** The layout that the stack wants of a GPU; undefined where it says nothing of it, or nobody here knows what it means. */
function wantedOf(gpu: Gpu, mig: MigConfig): Layout | undefined {
  const entry = mig.find(({ gpu: which }) => which === "all" || which === gpu.index || which === gpu.uuid);
  if (!entry) return undefined;
  if (typeof entry.layout !== "string") return entry.layout;
  const profile = entry.layout.replace(/^all-/, "");
  if (profile === "disabled") return "whole";
  const model = migModelOf(gpu.model, gpu.memoryMiB);
  const most = model ? mostOf(model, profile) : 0;
  return most > 0 ? { [profile]: most } : undefined;
}

/**
 * Why GPUs cannot be divided as the stack wants now: one text for each, with who holds what of it.
 *
 * @param now what the node has, and `grants` who holds it.
 * @param declared what the stack declares that the node has; or
 * @param mig how the stack wants the GPUs divided that the node's driver shows.
 */
export function heldLayouts(
  now: Inventory,
  grants: readonly Grant[],
  { declared, mig = [] }: { declared?: Inventory; mig?: MigConfig },
): string[] {
  const next = new Map(declared?.gpus.map((gpu) => [gpu.uuid, layoutOf(gpu)]));
  return now.gpus.flatMap((gpu) => {
    // A declared GPU that is no longer declared is taken away, which its holders would not outlive either.
    const wanted = declared ? (next.get(gpu.uuid) ?? "gone") : wantedOf(gpu, mig);
    const has = layoutOf(gpu);
    if (wanted === undefined || (wanted !== "gone" && text(wanted) === text(has))) return [];
    const holders = grants.flatMap(({ user, key, id, units }) => {
      const names = units.filter((unit) => unit.gpu === gpu.uuid).map(({ name }) => name);
      return names.length > 0 ? [`${user} (${key ?? id}) holds ${names.join(", ")}`] : [];
    });
    if (holders.length === 0) return [];
    const change =
      wanted === "gone"
        ? "is no longer declared"
        : `is ${text(has)} and is to be ${wanted === "whole" ? "whole" : `divided into ${text(wanted)}`}`;
    return [
      `GPU ${gpu.index} (${gpu.uuid}) ${change}, and ${holders.join("; ")}. A GPU is divided anew only while nobody ` +
        "holds any of it: take those grants out of the stack (users[].gpu, nodes[].ray.gpu) or release them " +
        "(berth gpu release), run it, then change the layout",
    ];
  });
}
