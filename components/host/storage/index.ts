/** The storage stage: devices, file systems, mounts, quotas, and the directories that users know. */
export { fstabLibrary } from "./fstab";
export { guardedFolders, PROGRAM as GUARD, peoplesFolders } from "./guard";
export { guardProgram } from "./guard-program";
export { renderStorage, storageSteps } from "./render";
export {
  type BindName,
  type DeviceMatch,
  type DeviceSpec,
  type ExportSpec,
  type Filesystem,
  type HomeQuota,
  type LvmSpec,
  type NfsMountSpec,
  type StorageOptions,
  type StorageSpec,
  storageLabel,
  type VolumeSpec,
} from "./spec";
export { defaultStorage, storageTree } from "./tree";
