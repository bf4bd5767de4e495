/** From the engine's description of a volume to the resource's outputs. Pure. */
import type { Props } from "@berth/plugin-base";
import { asKnown } from "@berth/plugin-base/bridged";
import { labelList } from "../labels";
import { volumeFields, volumeMeta } from "./schema";

export interface VolumeInspect {
  Name: string;
  Driver: string;
  Mountpoint: string;
  Labels?: Record<string, string> | null;
  Options?: Record<string, string> | null;
}

/** @param known as in containerState. */
export function volumeState(volume: VolumeInspect, known: Props): Props {
  const out: Props = {
    __meta: volumeMeta,
    id: volume.Name,
    name: volume.Name,
    driver: volume.Driver,
    mountpoint: volume.Mountpoint,
    labels: labelList(volume.Labels),
  };
  if (Object.keys(volume.Options ?? {}).length > 0) out.driverOpts = volume.Options as Record<string, string>;
  return asKnown(volumeFields, out, known);
}
