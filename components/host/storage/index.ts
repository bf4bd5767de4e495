/** The storage stage: devices, file systems, mounts, quotas, and the directories that users know. */
export { fstabLibrary } from "./fstab";
export { guardedFolders, PROGRAM as GUARD, peoplesFolders } from "./guard";
export { guardProgram } from "./guard-program";
export { renderStorage, storageSteps } from "./render";
export { type BindName, type StorageOptions, storageLabel } from "./spec";
export { defaultStorage, storageTree } from "./tree";
