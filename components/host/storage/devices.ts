/** The steps that look at the devices, and make what is missing on those that are empty. Pure. */
import { quote, quoteAll } from "../shell";
import type { StageStep } from "../stage";
import { blocksLibrary, makingLibrary } from "./blocks";
import { lvmExamine, lvmLibrary, lvmMake } from "./lvm";
import type { PlannedFilesystem, StoragePlan } from "./spec";

/** A file system that has a device to live on, whichever way it got one. */
export interface Placed extends PlannedFilesystem {
  /** What people call the device: its serial number, its UUID, or GROUP/NAME. */
  name: string;
}

/** Everything with a file system, in the order given. */
export function placed(plan: StoragePlan): Placed[] {
  const group = plan.lvm?.group;
  return [
    ...plan.devices.map((device) => ({ ...device, name: device.value })),
    ...(plan.lvm?.volumes ?? []).map((volume) => ({ ...volume, name: `${group}/${volume.name}` })),
  ];
}

export function packagesStep(plan: StoragePlan): StageStep {
  const all = placed(plan);
  const packages = [
    "util-linux",
    ...(all.length > 0 ? ["fdisk", "e2fsprogs"] : []),
    ...(all.some(({ filesystem }) => filesystem === "xfs") ? ["xfsprogs"] : []),
    ...(plan.lvm ? ["lvm2"] : []),
    ...(plan.nfs.length > 0 ? ["nfs-common"] : []),
    ...(plan.exports.length > 0 ? ["nfs-kernel-server"] : []),
    ...(plan.quotas.length > 0 ? ["quota", "e2fsprogs", "xfsprogs"] : []),
  ];
  return {
    name: "packages",
    body: `install -d -m 0700 -- "$state/storage"\napt_install ${[...new Set(packages)].join(" ")}`,
    deadlineSeconds: 1200,
  };
}

/** All devices are looked at before the first is touched; every refusal is told at once. */
export function devicesStep(plan: StoragePlan): StageStep {
  const args = (one: PlannedFilesystem) =>
    `${quote(one.where)} NAME DEVICE ${one.filesystem} ${quote(one.mount)}`;
  const examine = plan.devices.map((device) => {
    const name = quote(device.value);
    const call = device.kind === "serial" ? "examine_disk" : "examine_filesystem";
    return [
      `if device=$(find_device ${quote(device.where)} ${device.kind} ${name}); then`,
      `  ${call} ${args(device)
        .replace("NAME", `${quote(`${device.kind} ${device.value}`)}`)
        .replace("DEVICE", '"$device"')}`,
      "fi",
    ].join("\n");
  });
  const lines = plan.devices.map((one) =>
    quoteAll([
      "finish",
      one.where,
      one.value,
      one.filesystem,
      one.mount,
      one.label,
      one.quota ? "yes" : "no",
    ]),
  );
  const lists = ["refused", "decisions", "places"].map((name) => `: >"$work/${name}"`).join("\n");
  if (lines.length === 0 && !plan.lvm) return { name: "devices", body: lists };
  const body = [
    blocksLibrary,
    makingLibrary,
    ...(plan.lvm ? [lvmLibrary] : []),
    lists,
    ...examine,
    ...(plan.lvm ? [lvmExamine(plan.lvm)] : []),
    "all_or_nothing",
    ...lines,
    ...(plan.lvm ? [lvmMake(plan.lvm)] : []),
  ].join("\n");
  return { name: "devices", body, deadlineSeconds: 3600 };
}
