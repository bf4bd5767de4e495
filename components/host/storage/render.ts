/** The storage stage, put together. Pure. */
import { scriptsOf } from "../script";
import { quoteAll } from "../shell";
import { renderStage, type StageStep } from "../stage";
import { growLibrary, sizeLibrary } from "./blocks";
import { devicesStep, packagesStep, placed } from "./devices";
import { guardStep } from "./guard";
import { growStep, mountsStep, unmountStep } from "./mounts";
import { nfsServerStep } from "./nfs";
import { quotaStep } from "./quota";
import { hasStorageSpec, planStorage, type StorageOptions, type StoragePlan } from "./spec";
import { directoriesStep } from "./tree";

const script = scriptsOf(__dirname);

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
  const words = placed(plan).flatMap(({ where, name, filesystem, mount }) => [
    where,
    name,
    filesystem,
    mount,
  ]);
  return { name: "facts", body: `placed=(${quoteAll(words)})\n${script("facts.sh")}`, deadlineSeconds: 60 };
}
