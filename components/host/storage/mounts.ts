/**
 * /etc/fstab and what is mounted. Ours are the lines between two marks; the operator's stay as they are.
 *
 * fstab, not mount units: systemd makes its units from it, and `mount`, `findmnt` and people know it. Pure.
 */
import { quote } from "../shell";
import type { StageStep } from "../stage";
import { placed } from "./devices";
import { GUARDED, PROGRAM } from "./guard";
import type { StoragePlan } from "./spec";

/** Needs `numbers` of blocksLibrary. `$records/mounts` holds SOURCE TARGET TYPE OPTIONS WHOSE, one mount per line. */
const mountsLibrary = `
records=$state/storage
# The guard holds folders that something is to be mounted on, or that are to be unmounted.
unguard() { if [ -x ${PROGRAM} ]; then ${PROGRAM} off "$1"; fi; }
mounted() { findmnt -n --mountpoint "$1" >/dev/null; }
numbers() { lsblk -d -n -o MAJ:MIN -- "$1" | tr -d ' '; }
mounted_numbers() { findmnt -n -r -o MAJ:MIN --mountpoint "$1" | tail -n 1; }
# What still uses the file system mounted at a place, beside that mount and those in $work/passing.
users_of() {
  local device pid mine target
  device=$(mounted_numbers "$1")
  findmnt -n -r -o MAJ:MIN,TARGET | awk -v d="$device" '$1 == d {print $2}' | while read -r target; do
    if [ "$target" != "$1" ] && ! grep -q -x -F -e "$target" -- "$work/passing"; then
      printf 'the mount %s\\n' "$target"
    fi
  done
  # A container keeps a mount of its own, which lives on when the node's is gone. Services whose view follows the
  # node's (master:) let it go with it.
  mine=$(readlink /proc/self/ns/mnt)
  for pid in /proc/[0-9]*; do
    if [ "$(readlink "$pid/ns/mnt" 2>/dev/null || printf '%s' "$mine")" != "$mine" ] &&
      awk -v d="$device" '$3 == d && !/ (master|shared):/ {found = 1} END {exit !found}' "$pid/mountinfo" 2>/dev/null; then
      printf 'process %s (%s) in a container\\n' "\${pid#/proc/}" "$(cat "$pid/comm" 2>/dev/null || true)"
    fi
  done
}
busy() {
  {
    users_of "$1"
    if command -v fuser >/dev/null; then { fuser -m "$1" 2>/dev/null || true; } | tr -s ' ' '\\n' | sed -n 's/^\\([0-9]\\{1,\\}\\).*/process \\1/p'; fi
  } | sort -u | sed -n 1,5p | paste -s -d ';'
}
# The mount takes the options of fstab's line; a nofail there would hide a failure.
mount_now() {
  mount -- "$1" || fail "$1 could not be mounted: see the lines above, and dmesg"
  mounted "$1" || fail "$1 is not mounted: its device or server did not answer"
  changed "mounted $1"
}
mount_point() {
  if [ -e "$1" ] && [ ! -d "$1" ]; then fail "$1 is in the way: it is $(stat -c %F -- "$1"), and a mount point is wanted there"; fi
  [ -d "$1" ] || install -d -m 0755 -- "$1"
  if [ -n "$(find "$1" -mindepth 1 -maxdepth 1 -print -quit)" ]; then
    fail "$1 is not empty, and a mount would hide what it holds: move that away first, and back after the mount"
  fi
}
`.trim();

/** The marks around Berth's lines in /etc/fstab. */
const MARKS = `begin='# Berth storage: begin. Rendered: a change here is lost.' end='# Berth storage: end'`;

/**
 * `theirs`: /etc/fstab without Berth's lines. `in_fstab PLACE FILE`: true where a line of the file mounts something at the
 * place, however it is written: with more slashes, by a link, or with a blank as \\040 (fstab(5)).
 */
export const fstabLibrary = `
${MARKS}
theirs() { awk -v begin="$begin" -v end="$end" '$0 == begin {skip = 1} !skip {print} $0 == end {skip = 0}' /etc/fstab; }
in_fstab() {
  local place
  while IFS= read -r place; do
    printf -v place '%b' "\${place//\\\\/\\\\0}"
    if [ "$(realpath -m -- "$1")" = "$(realpath -m -- "$place")" ]; then return 0; fi
  done < <(awk '$1 !~ /^#/ && $2 ~ /^\\// {print $2}' "$2")
  return 1
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
  const body = `
${mountsLibrary}
: >"$work/wanted"
: >"$work/passing"
touch -- "$records/mounts"
want() { printf '%s %s %s %s\\n' "$@" >>"$work/wanted"; }
want_device() {
  local device
  device=$(awk -v where="$1" '$1 == where {print $2}' "$work/places")
  printf '%s %s\\n' "$2" "$device" >>"$work/devices"
  want "UUID=$(blkid -p -s UUID -o value -- "$device")" "$2" "$3" "$4"
}
: >"$work/devices"
${devices.join("\n")}
${nfs.join("\n")}
LC_ALL=C sort -k 2,2 -o "$work/wanted" -- "$work/wanted"
${binds.join("\n")}
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
    unguard "$target"
    users=$(busy "$target")
    if [ -n "$users" ] || ! umount -- "$target"; then
      fail "quotas on $target start with a fresh mount, and it is in use\${users:+ by $users}: stop that and run again"
    fi
    changed "unmounted $target, to switch its quotas on"
  fi
  if [ "$ready" = no ]; then
    if ! { e2fsck -p "$device" || [ "$?" -lt 4 ]; } || ! tune2fs -O project,quota -Q prjquota "$device"; then
      mount -- "$target" || true
      fail "$device ($target) could not be given project quotas: see the lines above"
    fi
    changed "project quotas on $device"
  fi
done <"$work/wanted"
# fstab, without our old lines, with our new ones.
${fstabLibrary}
touch -- /etc/fstab
if [ "$(grep -c -x -F -e "$begin" /etc/fstab)" != "$(grep -c -x -F -e "$end" /etc/fstab)" ]; then
  fail "/etc/fstab has lost one of Berth's two marks, '$begin' and '$end': put it back, or take all of Berth's lines out"
fi
theirs >"$work/theirs"
while read -r source target type options; do
  if in_fstab "$target" "$work/theirs"; then
    fail "/etc/fstab has a line for $target that is not Berth's: take it out, or leave $target out of the configuration"
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
bind_source() { [ -d "$1" ] || { install -d -m "$2" -- "$1" && changed "$1"; }; }
${sources.length > 0 ? `source_mode() {\n  case $1 in\n${plan.binds.map((one) => `    ${quote(one.from)}) printf %s ${one.mode} ;;`).join("\n")}\n  esac\n}` : "source_mode() { :; }"}
: >"$work/mounts"
while read -r source target type options; do
  whose=ours
  old=$(awk -v t="$target" '$2 == t' "$records/mounts")
  if [ "$type" = none ]; then bind_source "$source" "$(source_mode "$source")"; fi
  if grep -q -s -x -F -e "$target" -- ${GUARDED}; then unguard "$target"; fi
  if mounted "$target"; then
    case $type in
      none) if [ "$(stat -c %d:%i -- "$source")" = "$(stat -c %d:%i -- "$target")" ]; then same=yes; else same=no; fi ;;
      nfs) if [ "$(findmnt -n -r -o SOURCE --mountpoint "$target" | tail -n 1)" = "$source" ]; then same=yes; else same=no; fi ;;
      *) if [ "$(mounted_numbers "$target")" = "$(numbers "$(device_of "$target")")" ]; then same=yes; else same=no; fi ;;
    esac
    if [ "$same" = no ]; then
      fail "$target holds another mount: $(findmnt -n -r -o SOURCE --mountpoint "$target" | tail -n 1). Unmount that first"
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
  unguard "$target"
  users=$(users_of "$target" | sed -n 1,5p | paste -s -d ';')
  if [ -z "$users" ] && umount -- "$target"; then
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
