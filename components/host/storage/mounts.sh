# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $guard $work $guarded
# shellcheck disable=SC2034 # read after it: $records
# Needs a prologue that sets guard (the program) and guarded (its file). `$records/mounts` holds SOURCE TARGET TYPE
# OPTIONS WHOSE, one mount per line.
# ---
records=$state/storage
# The guard binds folders that something is to be mounted on, or that are to be unmounted. It comes again at the stage's
# end, and at once where that is not reached: what it puts back then is no change.
unguard() { if [ -x "$guard" ]; then "$guard" off "$1" >>"$work/released"; fi; }
fail_guarded() {
  if [ -x "$guard" ]; then "$guard" start || true; fi
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
    if [ "$target" != "$1" ] && ! grep -q -s -x -F -e "$target" -- "$work/passing" "$guarded"; then
      printf 'the mount %s\n' "$target"
    fi
  done
  # A container keeps a mount of its own, which lives on when the node's is gone. Services whose view follows the
  # node's (master:) let it go with it.
  mine=$(readlink /proc/self/ns/mnt)
  for pid in /proc/[0-9]*; do
    if [ "$(readlink "$pid/ns/mnt" 2>/dev/null || printf '%s' "$mine")" != "$mine" ] &&
      awk -v d="$device" -v root="${root%/}/" '$3 == d && index($4 "/", root) == 1 && !/ (master|shared):/ {found = 1} END {exit !found}' "$pid/mountinfo" 2>/dev/null; then
      printf 'process %s (%s) in a container\n' "${pid#/proc/}" "$(cat "$pid/comm" 2>/dev/null || true)"
    fi
  done
}
busy() {
  {
    users_of "$1" device
    if command -v fuser >/dev/null; then { fuser -m "$1" 2>/dev/null || true; } | tr -s ' ' '\n' | sed -n 's/^\([0-9]\{1,\}\).*/process \1/p'; fi
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
