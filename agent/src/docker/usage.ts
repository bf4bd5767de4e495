/** What Docker's things take on disk. */
import { garbage } from "./errors";
import type { Transport } from "./transport";

/** All in bytes. */
export interface DiskUsage {
  /** Of all images; a layer that several share counts once. */
  layers: number;
  /** What containers wrote beside their images and volumes, by id. */
  containers: Map<string, number>;
  /** By name. */
  volumes: Map<string, number>;
  /** What builds left. */
  buildCache: number;
}

interface Answer {
  LayersSize?: number;
  Containers?: { Id: string; SizeRw?: number }[] | null;
  Volumes?: { Name: string; UsageData?: { Size?: number } | null }[] | null;
  BuildCache?: { Size?: number; Shared?: boolean }[] | null;
}

/** dockerd walks through all of its folders for that: seconds, or minutes where there is much. */
export async function readDiskUsage(
  transport: Transport,
  signal: AbortSignal | undefined,
): Promise<DiskUsage> {
  const what = "look at what Docker takes on disk";
  const answer = await transport.call<Answer | undefined>(what, {
    method: "GET",
    path: "/system/df",
    fine: [200],
    deadlineMs: transport.deadlines.usage,
    signal,
  });
  if (typeof answer?.LayersSize !== "number") throw garbage(what, "no LayersSize");
  return usageOf(answer);
}

function usageOf({ LayersSize = 0, Containers, Volumes, BuildCache }: Answer): DiskUsage {
  const builds = (BuildCache ?? []).filter(({ Shared }) => Shared !== true);
  return {
    layers: LayersSize,
    containers: new Map((Containers ?? []).map(({ Id, SizeRw }) => [Id, SizeRw ?? 0])),
    // -1: a volume of a driver that does not say.
    volumes: new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, Math.max(0, UsageData?.Size ?? 0)])),
    buildCache: builds.reduce((sum, { Size }) => sum + (Size ?? 0), 0),
  };
}
