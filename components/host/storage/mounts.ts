/**
 * /etc/fstab and what is mounted. Ours are the lines between two marks; the operator's stay as they are.
 *
 * fstab, not mount units: systemd makes its units from it, and `mount`, `findmnt` and people know it. Pure.
 */
import { LOAD_JSON } from "../runtime/told";
import { heredoc, quote } from "../shell";
import type { StageStep } from "../stage";
import { placed } from "./devices";
import { fstabLibrary } from "./fstab";
import { PROGRAM } from "./guard";
import { GUARDED } from "./guard-program";
import { GUARD_OPTIONS, type StoragePlan } from "./spec";
import { storageTree } from "./tree";

/** Needs `numbers` of blocksLibrary. `$records/mounts` holds SOURCE TARGET TYPE OPTIONS WHOSE, one mount per line. */
const mountsLibrary = `
records=$state/storage
# The guard binds folders that something is to be mounted on, or that are to be unmounted. It comes again at the stage's
# end, and at once where that is not reached: what it puts back then is no change.
unguard() { if [ -x ${PROGRAM} ]; then ${PROGRAM} off "$1" >>"$work/released"; fi; }
fail_guarded() {
  if [ -x ${PROGRAM} ]; then ${PROGRAM} start || true; fi
  fail "$@"
}
mounted() { findmnt -n --mountpoint "$1" >/dev/null; }
numbers() { lsblk -d -n -o MAJ:MIN -- "$1" | tr -d ' '; }
mounted_numbers() { findmnt -n -r -o MAJ:MIN --mountpoint "$1" | tail -n 1; }
of_mount() { findmnt -n -r -o "$1" --mountpoint "$2" | tail -n 1; }
# PLACE TYPE: what still uses the file system mounted at a place, beside that mount, those in $work/passing and the
# guard's. Of a bound folder (none): who has that folder; what else lies on its file system says nothing.
users_of() {
  local device root=/ pid mine target
  device=$(mounted_numbers "$1")
  if [ "$2" = none ]; then root=$(of_mount FSROOT "$1"); fi
  findmnt -n -r -o MAJ:MIN,TARGET | awk -v d="$device" -v type="$2" '$1 == d && type != "none" {print $2}' | while read -r target; do
    if [ "$target" != "$1" ] && ! grep -q -s -x -F -e "$target" -- "$work/passing" ${GUARDED}; then
      printf 'the mount %s\\n' "$target"
    fi
  done
  # A container keeps a mount of its own, which lives on when the node's is gone. Services whose view follows the
  # node's (master:) let it go with it.
  mine=$(readlink /proc/self/ns/mnt)
  for pid in /proc/[0-9]*; do
    if [ "$(readlink "$pid/ns/mnt" 2>/dev/null || printf '%s' "$mine")" != "$mine" ] &&
      awk -v d="$device" -v root="\${root%/}/" '$3 == d && index($4 "/", root) == 1 && !/ (master|shared):/ {found = 1} END {exit !found}' "$pid/mountinfo" 2>/dev/null; then
      printf 'process %s (%s) in a container\\n' "\${pid#/proc/}" "$(cat "$pid/comm" 2>/dev/null || true)"
    fi
  done
}
busy() {
  {
    users_of "$1" device
    if command -v fuser >/dev/null; then { fuser -m "$1" 2>/dev/null || true; } | tr -s ' ' '\\n' | sed -n 's/^\\([0-9]\\{1,\\}\\).*/process \\1/p'; fi
  } | sort -u | sed -n 1,5p | paste -s -d ';'
}
# The mount takes the options of fstab's line; a nofail there would hide a failure.
mount_now() {
  mount -- "$1" || fail_guarded "$1 could not be mounted: see the lines above, and dmesg"
  mounted "$1" || fail_guarded "$1 is not mounted: its device or server did not answer"
  changed "mounted $1"
}
mount_point() {
  if [ -e "$1" ] && [ ! -d "$1" ]; then fail "$1 is in the way: it is $(stat -c %F -- "$1"), and a mount point is wanted there"; fi
  [ -d "$1" ] || install -d -m "$(mode_below "$1")" -- "$1"
  if [ -n "$(find "$1" -mindepth 1 -maxdepth 1 -print -quit)" ]; then
    fail_guarded "$1 is not empty, and a mount would hide what it holds: move that away first, and back after the mount"
  fi
}
`.trim();

/**
 * `holds_docker PLACE`: are Docker's images and volumes at or below it, or is it a part of them? Their programs run as their
 * owners, which `nosuid` would end. A dockerd that runs is asked; else the file says where they are, or nothing does and it
 * is /var/lib/docker (docs.docker.com/reference/cli/dockerd, "data-root").
 */
const dockerRoot = `
docker_root=
if command -v dockerd >/dev/null; then
  if systemctl is-active -q docker.service; then
    docker_root=$(timeout 20 docker info -f '{{.DockerRootDir}}' 2>/dev/null || true)
  fi
  if [ -z "$docker_root" ] && [ -e /etc/docker/daemon.json ]; then
    docker_root=$(python3 - ${heredoc(`${LOAD_JSON}print(load("/etc/docker/daemon.json").get("data-root", ""))`)}
)
  fi
fi
docker_root=\${docker_root:-/var/lib/docker}
holds_docker() {
  case $docker_root/ in "$1"/*) return 0 ;; esac
  case $1/ in "$docker_root"/*) return 0 ;; esac
  return 1
}
`.trim();

/** `not_dockers FOLDER`: what people write is mounted nosuid and nodev, also where it really lies. */
const notDockers = `
not_dockers() {
  if holds_docker "$1"; then
    fail "storage.bind: $1 and Docker's own data, $docker_root, are one in the other, and that must not be mounted nosuid and nodev as what people write is: give it a folder of its own, such as $1/people"
  fi
}
`.trim();

/** `want_device WHERE PLACE TYPE OPTIONS`: a file system on a device that the step before has found or made. */
const wantDevice = `
want_device() {
  local device given=$4
  device=$(awk -v where="$1" '$1 == where {print $2}' "$work/places")
  printf '%s %s\\n' "$2" "$device" >>"$work/devices"
  if holds_docker "$2"; then given=\${given/,${GUARD_OPTIONS}/}; fi
  want "UUID=$(blkid -p -s UUID -o value -- "$device")" "$2" "$3" "$given"
}
`.trim();

/** Writes fstab and mounts what is missing, outer places first. */
export function mountsStep(plan: StoragePlan): StageStep {
  const devices = placed(plan).map(
    (one) =>
      `want_device ${[one.where, one.mount, one.filesystem, one.options].map((word) => quote(word)).join(" ")}`,
  );
  const nfs = plan.nfs.map(
    (one) => `want ${[one.from, one.mount, "nfs", one.options].map((word) => quote(word)).join(" ")}`,
  );
  const binds = plan.binds.map(
    (one) => `want ${[one.from, one.mount, "none", one.options].map((word) => quote(word)).join(" ")}`,
  );
  const sources = plan.binds.map((one) => `${quote(one.from)} ${one.mode}`);
  const narrow = storageTree.filter(({ mode }) => mode !== "0755");
  const body = `
${mountsLibrary}
# What a folder is once more when its mount goes.
mode_below() {
  case $1 in
${narrow.map(({ path, mode }) => `    ${quote(`${plan.root}/${path}`)}) printf ${mode} ;;`).join("\n")}
    *) printf 0755 ;;
  esac
}
: >"$work/wanted"
: >"$work/passing"
touch -- "$records/mounts"
want() { printf '%s %s %s %s\\n' "$@" >>"$work/wanted"; }
${devices.length + binds.length > 0 ? dockerRoot : ""}
${devices.length > 0 ? wantDevice : ""}
: >"$work/devices"
${devices.join("\n")}
${nfs.join("\n")}
LC_ALL=C sort -k 2,2 -o "$work/wanted" -- "$work/wanted"
${binds.join("\n")}
${plan.binds.length > 0 ? notDockers : ""}
${plan.binds.map(({ from }) => `not_dockers ${quote(from)}`).join("\n")}
device_of() { awk -v t="$1" '$1 == t {print $2}' "$work/devices"; }
# ext4 that was made without quotas learns them while it is not mounted; fstab must not ask for them before.
while read -r source target type options; do
  case ,$options, in *,prjquota,*) ;; *) continue ;; esac
  device=$(device_of "$target")
  if [ "$type" = ext4 ] && ! dumpe2fs -h "$device" 2>/dev/null | grep -q -E '^Filesystem features:.* quota( |$)'; then
    ready=no
  elif mounted "$target" && ! findmnt -n -o OPTIONS --mountpoint "$target" | tr , '\\n' | grep -q -x -E 'prjquota|pquota'; then
    ready=remount
  else
    continue
  fi
  if mounted "$target"; then
    users=$(busy "$target")
    if [ -n "$users" ] || ! unguard "$target" || ! umount -- "$target"; then
      fail_guarded "quotas on $target start with a fresh mount, and it is in use\${users:+ by $users}: stop that and run again"
    fi
    changed "unmounted $target, to switch its quotas on"
  fi
  if [ "$ready" = no ]; then
    if ! { e2fsck -p "$device" || [ "$?" -lt 4 ]; } || ! tune2fs -O project,quota -Q prjquota "$device"; then
      mount -- "$target" || true
      fail_guarded "$device ($target) could not be given project quotas: see the lines above"
    fi
    changed "project quotas on $device"
  fi
done <"$work/wanted"
# fstab, without our old lines, with our new ones.
${fstabLibrary}
touch -- /etc/fstab
if [ "$(grep -c -x -F -e "$begin" /etc/fstab)" != "$(grep -c -x -F -e "$end" /etc/fstab)" ]; then
  fail_guarded "/etc/fstab has lost one of Berth's two marks, '$begin' and '$end': put it back, or take all of Berth's lines out"
fi
theirs >"$work/theirs"
places <"$work/theirs" >"$work/their-places"
while read -r source target type options; do
  if in_fstab "$target" "$work/their-places"; then
    fail_guarded "/etc/fstab has a line for $target that is not Berth's: take it out, or leave $target out of the configuration"
  fi
done <"$work/wanted"
{
  cat -- "$work/theirs"
  if [ -s "$work/wanted" ]; then
    printf '%s\\n' "$begin"
    awk '{fsck = ($1 ~ /^UUID=/ && $3 == "ext4") ? 2 : 0; print $1, $2, $3, $4, 0, fsck}' "$work/wanted"
    printf '%s\\n' "$end"
  fi
} >"$work/fstab"
if ! cmp -s -- "$work/fstab" /etc/fstab; then place 0644 /etc/fstab storage <"$work/fstab"; fi
if pending storage; then
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  settled storage
fi
# Is what is mounted at $target what belongs there?
same() {
  case $type in
    none) [ "$(stat -c %d:%i -- "$source")" = "$(stat -c %d:%i -- "$target")" ] ;;
    nfs) [ "$(of_mount SOURCE "$target")" = "$source" ] ;;
    # The whole file system, not a folder of it.
    *) [ "$(mounted_numbers "$target")" = "$(numbers "$(device_of "$target")")" ] && [ "$(of_mount FSROOT "$target")" = / ] ;;
  esac
}
bind_source() { [ -d "$1" ] || { install -d -m "$2" -- "$1" && changed "$1"; }; }
${sources.length > 0 ? `source_mode() {\n  case $1 in\n${plan.binds.map((one) => `    ${quote(one.from)}) printf %s ${one.mode} ;;`).join("\n")}\n  esac\n}` : "source_mode() { :; }"}
: >"$work/mounts"
while read -r source target type options; do
  whose=ours
  old=$(awk -v t="$target" '$2 == t' "$records/mounts")
  if [ "$type" = none ]; then bind_source "$source" "$(source_mode "$source")"; fi
  # Another mount than the right one may be the guard's.
  if mounted "$target" && ! same; then unguard "$target" || true; fi
  if mounted "$target"; then
    if ! same; then
      fail_guarded "$target holds another mount: $(of_mount SOURCE "$target"). Unmount that first"
    fi
    # Mounted before Berth came: used, and never unmounted.
    if [ -z "$old" ]; then whose=theirs; else whose=\${old##* }; fi
    was=$(awk '{print $4}' <<<"$old" | tr , '\\n' | grep -v -x prjquota | paste -s -d , || true)
    now=$(tr , '\\n' <<<"$options" | grep -v -x prjquota | paste -s -d , || true)
    if [ -n "$old" ] && [ "$was" != "$now" ] && [ "$type" != none ]; then
      mount -o remount -- "$target" || fail "$target does not take its new options $options while it is mounted"
      changed "options of $target"
    fi
  else
    mount_point "$target"
    # Known before it is mounted: a run that is cut here has still mounted it.
    if [ -z "$old" ]; then printf '%s %s %s %s ours\\n' "$source" "$target" "$type" "$options" >>"$records/mounts"; fi
    mount_now "$target"
  fi
  printf '%s %s %s %s %s\\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
done <"$work/wanted"
# What is no longer wanted stays in the record until it is unmounted.
while read -r line; do
  target=$(awk '{print $2}' <<<"$line")
  if ! awk -v t="$target" '$2 == t {found = 1} END {exit !found}' "$work/wanted"; then printf '%s\\n' "$line" >>"$work/mounts"; fi
done <"$records/mounts"
if ! cmp -s -- "$work/mounts" "$records/mounts"; then
  cp -- "$work/mounts" "$records/mounts.new"
  sync -- "$records/mounts.new"
  mv -f -T -- "$records/mounts.new" "$records/mounts"
fi
# A step that fails before the guard's own leaves nothing open.
if [ -s "$work/released" ]; then ${PROGRAM} start || true; fi
`;
  return { name: "mounts", body: body.replaceAll(/\n{2,}/g, "\n"), deadlineSeconds: 900 };
}

/** File systems grow while they are mounted. */
export function growStep(plan: StoragePlan, library: string): StageStep {
  const calls = placed(plan).map(
    ({ where, filesystem, mount }) =>
      `grow_filesystem "$(awk -v where=${quote(where)} '$1 == where {print $2}' "$work/places")" ${filesystem} ${quote(mount)}`,
  );
  return { name: "growth", body: `${library}\n${calls.join("\n")}`, deadlineSeconds: 1800 };
}

/** Last, when nothing of this stage holds them any more. What is in use stays, and is tried again by the next run. */
export const unmountStep: StageStep = {
  name: "unmount what is no longer asked for",
  body: `
${mountsLibrary}
: >"$work/left"
: >"$work/mounts"
# A file system that moves is mounted twice for a moment. A bind that stays is a user like any other.
awk '$3 != "none" {print $2}' "$work/wanted" >"$work/passing"
awk 'FILENAME == ARGV[1] {wanted[$2] = 1; next} !($2 in wanted) {print $2}' "$work/wanted" "$records/mounts" >>"$work/passing"
while read -r source target type options whose; do
  if awk -v t="$target" '$2 == t {found = 1} END {exit !found}' "$work/wanted"; then
    printf '%s %s %s %s %s\\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
    continue
  fi
  if [ "$whose" != ours ] || ! mounted "$target"; then continue; fi
  users=$(users_of "$target" "$type" | sed -n 1,5p | paste -s -d ';')
  if [ -z "$users" ] && unguard "$target" && umount -- "$target"; then
    changed "unmounted $target"
  else
    printf '%s stays mounted: it is in use. %s\\n' "$target" "$users"
    printf '%s\\n' "$target" >>"$work/left"
    printf '%s %s %s %s %s\\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
  fi
done < <(tac -- "$records/mounts")
LC_ALL=C sort -k 2,2 -o "$work/mounts" -- "$work/mounts"
if ! cmp -s -- "$work/mounts" <(LC_ALL=C sort -k 2,2 -- "$records/mounts"); then
  cp -- "$work/mounts" "$records/mounts.new"
  sync -- "$records/mounts.new"
  mv -f -T -- "$records/mounts.new" "$records/mounts"
fi
fact_json leftMounted "$(json_lines <"$work/left")"
`,
  deadlineSeconds: 300,
};
