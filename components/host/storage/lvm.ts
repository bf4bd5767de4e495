/**
 * A volume group and its logical volumes. Ours carry the tag `berth`; others are refused, never taken over.
 * No command gets --yes: LVM then leaves a device alone on which it finds data. Pure.
 */

import { scriptsOf } from "../script";
import { quote, quoteAll } from "../shell";
import type { StoragePlan } from "./spec";

const script = scriptsOf(__dirname);

type Lvm = NonNullable<StoragePlan["lvm"]>;

export const lvmLibrary = script("lvm.sh");

/** Refusals of the group and its volumes. */
export function lvmExamine(lvm: Lvm): string {
  const physical = lvm.devices.map((device) => {
    const name = quote(`${device.kind} ${device.value}`);
    const where = quote(device.where);
    return `if device=$(find_device ${where} ${device.kind} ${quote(device.value)}); then examine_physical ${where} ${name} "$device"; fi`;
  });
  const volumes = lvm.volumes.map(
    ({ where, name, filesystem, mount }) => `examine_volume ${quoteAll([where, name, filesystem, mount])}`,
  );
  return [`group=${quote(lvm.group)}`, "examine_group", ...physical, ...volumes].join("\n");
}

/** Making and growing. */
export function lvmMake(lvm: Lvm): string {
  const physical = lvm.devices.map(({ where }) => `physical ${quote(where)}`);
  const volumes = lvm.volumes.flatMap((volume) => {
    const size = "bytes" in volume.size ? `bytes ${volume.size.bytes}` : `percent ${volume.size.percent}`;
    const { where, name, filesystem, mount, label, quota } = volume;
    return [
      `volume ${quoteAll([where, name])} ${size}`,
      `finish ${quoteAll([where, `${lvm.group}/${name}`, filesystem, mount, label, quota ? "yes" : "no"])}`,
    ];
  });
  return [...physical, ...volumes].join("\n");
}
