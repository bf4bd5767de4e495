/** What the first look at a server tells of its storage: what is in the way, what was there, what will change. Pure. */
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

/** Lines of others in fstab for a place that the storage stage mounts something at. */
export function fstabProblems(storage: StorageOptions): string {
  const places = wantedMounts(storage).map(({ mount }) => checkPath(mount, "storage.mount"));
  if (places.length === 0) return "";
  return `
if [ -e /etc/fstab ]; then
  ${fstabLibrary}
  theirs | places >"$work/their-places"
  for place in ${quoteAll(places)}; do
    if in_fstab "$place" "$work/their-places"; then
      problem "/etc/fstab has a line for $place that is not Berth's: take it out, or leave $place out of the configuration"
    fi
  done
fi`.trim();
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
export function guardChanges(storage: StorageOptions): string {
  return `
if [ ! -e ${GUARD} ]; then
  text='mounts what people write nosuid and nodev, at each start before Docker: programs there run with the rights of who calls them alone (no setuid bit, no capabilities of files), and device files stand for nothing'
  for path in ${quoteAll(guardedFolders(storage))}; do
    if [ -d "$path" ]; then printf '%s\\n' "$path"; fi
  done >"$work/guard"
  if [ -s "$work/guard" ]; then text="$text. There already: $(paste -s -d ' ' -- "$work/guard")"; fi
  will "$text"
  if command -v dockerd >/dev/null; then
    will "adds to docker.service, in /etc/systemd/system/docker.service.d, that the rules for published ports and that guard come first: where they cannot be had, dockerd does not start"
  fi
fi`.trim();
}

/**
 * What the guard could not guard, each with how to mend it: the guard itself, where nobody sees it, in a mount namespace with
 * a /run of its own (unshare(1)). Nothing of the server changes. What is missing yet is made and guarded by the stage.
 */
export function guardProblems(storage: StorageOptions): string {
  return `
cat >"$work/guard-trial" ${heredoc(guardProgram(guardedFolders(storage)))}
alone() { timeout -k 5 100 unshare -m --propagation private bash -c "mount -t tmpfs none /run && exec bash -c \\"\\$1\\" guard on" bash "$(cat -- "$work/guard-trial")"; }
if ! alone >/dev/null 2>"$work/guard-said"; then
  grep -e ' is not guarded: ' -e ' could not be mounted with ' "$work/guard-said" >"$work/unguarded" || true
  while IFS= read -r line; do
    problem "what people write has to be mounted nosuid and nodev. $line"
  done <"$work/unguarded"
  if [ ! -s "$work/unguarded" ]; then
    problem "what people write cannot be mounted nosuid and nodev here, by a trial that nobody else saw: $(tail -n 2 -- "$work/guard-said" | paste -s -d ' ')"
  fi
fi`.trim();
}
