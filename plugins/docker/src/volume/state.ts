/** From the engine's description of a volume to the resource's outputs. Pure. */
import type { Props } from "@berth/plugin-base";
import { plainProps, sameValue } from "@berth/plugin-base/bridged";
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
  for (const [key, value] of Object.entries(plainProps(known))) {
    const field = volumeFields[key];
    if (field !== undefined && field.output !== true && sameValue(field, out[key] ?? null, value))
      out[key] = value;
  }
  return out;
}
