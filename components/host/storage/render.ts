/** The storage stage, put together. Pure. */
import { quote } from "../shell";
import { renderStage, type StageStep } from "../stage";
import { growLibrary, sizeLibrary } from "./blocks";
import { devicesStep, packagesStep, placed } from "./devices";
import { guardStep } from "./guard";
import { growStep, mountsStep, unmountStep } from "./mounts";
import { nfsServerStep } from "./nfs";
import { quotaStep } from "./quota";
import { hasStorageSpec, planStorage, type StorageOptions, type StoragePlan } from "./spec";
import { directoriesStep } from "./tree";

/**
 * The stage `storage`. Without a specification: the directories alone.
 *
 * Facts: `filesystem` and `sizeBytes` of the tree; with a specification also `devices` (name, device, uuid,
 * label, filesystem, bytes, mount), `mounts` (source, target, type), `quotas` (user, softBytes, hardBytes),
 * `exports` (paths) and `leftMounted` (no longer asked for, in use).
 *
 * What is on a device is never deleted: a device with data that is not Berth's ends the stage before anything
 * is changed, with its signature and what to do. File systems and volumes grow, never shrink.
 * @throws StageOptionError for a value that cannot be.
 */
export function renderStorage(options: StorageOptions & { node: string }): string {
  return renderStage({
    name: "storage",
    node: options.node,
    uses: hasStorageSpec(options) ? ["files", "apt"] : ["files"],
    steps: storageSteps(options),
  });
}

/** Its steps, in order: devices, mounts, growth, directories, exports, quotas, what goes, the guard, facts. */
export function storageSteps(options: StorageOptions): StageStep[] {
  if (!hasStorageSpec(options)) return [directoriesStep(options), guardStep(options)];
  const plan = planStorage(options);
  return [
    packagesStep(plan),
    devicesStep(plan),
    mountsStep(plan),
    ...(placed(plan).length > 0 ? [growStep(plan, `${sizeLibrary}\n${growLibrary}`)] : []),
    directoriesStep(options),
    nfsServerStep(plan),
    quotaStep(plan),
    unmountStep,
    guardStep(options),
    factsStep(plan),
  ];
}

function factsStep(plan: StoragePlan): StageStep {
  const lines = placed(plan).map(
    ({ where, name, filesystem, mount }) =>
      `device ${[where, name, filesystem, mount].map((word) => quote(word)).join(" ")}`,
  );
  const body = `
: >"$work/devices"
device() {
  local part uuid label bytes
  part=$(awk -v where="$1" '$1 == where {print $2}' "$work/places")
  uuid=$(blkid -p -s UUID -o value -- "$part")
  label=$(blkid -p -s LABEL -o value -- "$part" || true)
  bytes=$(df -P -B1 -- "$4" | awk 'NR == 2 {print $2}')
  printf '{"name":%s,"device":%s,"uuid":%s,"label":%s,"filesystem":%s,"bytes":%s,"mount":%s}\\n' "$(json_string "$2")" \\
    "$(json_string "$part")" "$(json_string "$uuid")" "$(json_string "$label")" "$(json_string "$3")" "$bytes" "$(json_string "$4")" >>"$work/devices"
}
${lines.join("\n")}
fact_json devices "[$(paste -s -d , -- "$work/devices")]"
fact_json mounts "[$(
  while read -r source target type _; do
    printf '{"source":%s,"target":%s,"type":%s}\\n' "$(json_string "$source")" "$(json_string "$target")" "$(json_string "$type")"
  done <"$work/wanted" | paste -s -d ,
)]"
`;
  return { name: "facts", body, deadlineSeconds: 60 };
}
