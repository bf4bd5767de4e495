/** What the first look at a server tells of its storage: what is in the way, what was there, what will change. Pure. */

import { scriptsOf } from "./script";
import { checkPath, heredoc, quote, quoteAll } from "./shell";
import {
  type BindName,
  defaultStorage,
  fstabLibrary,
  GUARD,
  guardedFolders,
  guardProgram,
  peoplesFolders,
  type StorageOptions,
  storageTree,
} from "./storage";

const script = scriptsOf(__dirname);

/** Lines of others in fstab for a place that the storage stage mounts something at. */
export function fstabProblems(storage: StorageOptions): string {
  const places = wantedMounts(storage).map(({ mount }) => checkPath(mount, "storage.mount"));
  if (places.length === 0) return "";
  return [fstabLibrary, `mount_points=(${quoteAll(places)})`, script("preflight-fstab.sh")].join("\n");
}

/** Directories that the storage stage would make, of which those that are there are the operator's. */
export function storageDirectories(storage: StorageOptions): string[] {
  const root = checkPath(storage.root ?? defaultStorage.root, "storage.root");
  return [
    ...(storage.directories ?? defaultStorage.directories),
    ...storageTree.map(({ path }) => (path === "" ? root : `${root}/${path}`)),
    ...Object.values(storage.bind ?? {}),
    ...[...(storage.devices ?? []), ...(storage.lvm?.volumes ?? []), ...(storage.nfs?.mounts ?? [])].map(
      ({ mount }) => mount,
    ),
  ].map((path, i) => checkPath(path, `storage.directories[${i}]`));
}

/** Fills $work/existing. */
export function existingDirectories(storage: StorageOptions): string {
  return `for path in ${quoteAll(storageDirectories(storage))}; do
  if [ -d "$path" ]; then printf '%s\\n' "$path"; fi
done >"$work/existing"`;
}

/** What the storage stage mounts, and where. */
function wantedMounts(storage: StorageOptions): { mount: string; text: string }[] {
  const devices = (storage.devices ?? []).map(({ match, mount, filesystem }) =>
    "serial" in match
      ? {
          mount,
          text: `the device with serial ${match.serial} (an empty one gets a file system, ${filesystem ?? "ext4"})`,
        }
      : { mount, text: `the file system ${match.uuid}` },
  );
  const volumes = (storage.lvm?.volumes ?? []).map(({ name, mount }) => ({
    mount,
    text: `the logical volume ${storage.lvm?.group}/${name} (made where it is missing)`,
  }));
  const nfs = (storage.nfs?.mounts ?? []).map(({ from, mount }) => ({ mount, text: from }));
  const tree = peoplesFolders(storage);
  const binds = Object.entries(storage.bind ?? {}).map(([name, from]) => ({
    // The tree's own comes first.
    mount: tree[name as BindName][0] ?? "",
    text: from,
  }));
  return [...devices, ...volumes, ...nfs, ...binds];
}

/** A line for each mount that is not there yet. */
export function mountChanges(storage: StorageOptions): string {
  return wantedMounts(storage)
    .map(
      ({ mount, text }) =>
        `if ! findmnt -n --mountpoint ${quote(mount)} >/dev/null; then will ${quote(`mounts ${text} at ${mount}, by lines of its own in /etc/fstab`)}; fi`,
    )
    .join("\n");
}

/** What people write loses what it could do for others; and dockerd waits for that and for the firewall. */
export const guardChanges = (storage: StorageOptions): string =>
  `guard=${GUARD} folders=(${quoteAll(guardedFolders(storage))})\n${script("preflight-guard-changes.sh")}`;

/** What the guard could not guard, each with how to mend it. */
export const guardProblems = (storage: StorageOptions): string =>
  `cat >"$work/guard-trial" ${heredoc(guardProgram(guardedFolders(storage)))}\n${script("preflight-guard.sh")}`;
