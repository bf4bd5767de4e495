# shellcheck shell=bash
# `grow_filesystem PART TYPE MOUNT`: mounted; both kinds grow while in use. Needs size.sh.
# ---
grow_filesystem() {
  local part=$1 type=$2 mount=$3 before after
  before=$(filesystem_bytes "$part" "$type" "$mount")
  [ $(($(blockdev --getsize64 "$part") - before)) -gt 1048576 ] || return 0
  case $type in
    ext4) resize2fs "$part" ;;
    xfs) xfs_growfs -d "$mount" ;;
  esac
  after=$(filesystem_bytes "$part" "$type" "$mount")
  if [ "$after" -gt "$before" ]; then changed "$type on $part grown to $after bytes"; fi
}
