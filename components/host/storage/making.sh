# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $records $work
# Making and growing. Needs blocks.sh.
# ---
settle() { if command -v udevadm >/dev/null; then udevadm settle -t 30 || true; fi; }
one_partition() { [ -n "$(partitions "$1")" ]; }
partition() {
  printf 'label: gpt\nstart=1MiB, name=berth\n' | sfdisk -q --no-reread --no-tell-kernel "$1"
  partx -u "$1"
  settle
  wait_for 30 "the partition of $1" one_partition "$1"
  changed "partition on $1"
}
# WHERE PART TYPE LABEL QUOTA
make_filesystem() {
  local where=$1 part=$2 type=$3 label=$4 quota=$5 options=()
  case $type in
    # Root's reserve of 5 % is for system disks.
    ext4)
      options=(-q -L "$label" -m 1)
      if [ "$quota" = yes ]; then options+=(-O "project,quota" -E quotatype=prjquota); fi
      ;;
    xfs) options=(-q -L "$label") ;;
  esac
  "mkfs.$type" "${options[@]}" "$part" || fail "$where: no $type was made on $part"
  settle
  changed "$type on $part"
}
record() {
  local line="$1 $2 $3"
  touch -- "$records/filesystems"
  if grep -q -x -F -e "$line" -- "$records/filesystems"; then return 0; fi
  {
    grep -v -F -e "$1 " -- "$records/filesystems" || true
    printf '%s\n' "$line"
  } >"$work/filesystems"
  place 0600 "$records/filesystems" <"$work/filesystems"
}
# A partition of ours that ends before its disk does. GPT keeps 33 sectors at the end for its copy.
grow_partition() {
  local part=$1 disk name start size end
  name=$(basename -- "$(readlink -f -- "$part")")
  [ -e "/sys/class/block/$name/partition" ] || return 0
  disk=/dev/$(basename -- "$(dirname -- "$(readlink -f -- "/sys/class/block/$name")")")
  [ "$(cat "/sys/class/block/$name/partition")" = 1 ] && [ "$(sfdisk --part-label "$disk" 1)" = berth ] || return 0
  start=$(cat "/sys/class/block/$name/start")
  size=$(cat "/sys/class/block/$name/size")
  end=$(blockdev --getsz "$disk")
  # Less than 2 MiB is the rest that alignment leaves.
  [ $((end - start - size)) -gt 4096 ] || return 0
  printf ', +\n' | sfdisk -q --no-reread --no-tell-kernel --force -N 1 "$disk"
  partx -u "$disk"
  settle
  [ "$(cat "/sys/class/block/$name/size")" -gt "$size" ] || fail "the kernel does not see that $part grew: restart the machine"
  changed "partition $part grown"
}
# WHERE NAME TYPE MOUNT LABEL QUOTA: from the decision to a file system, its partition as large as its disk.
finish() {
  local where=$1 name=$2 type=$3 mount=$4 label=$5 quota=$6 action device
  read -r action device < <(decision "$where")
  if [ "$action" = partition ]; then
    partition "$device"
    device=$(partitions "$device")
    action=format
    if [ -n "$(signatures "$device")" ]; then
      fail "$where: the new partition $device of $name shows old data: $(signatures "$device"). Nothing was made on it"
    fi
  fi
  if [ "$action" = format ]; then make_filesystem "$where" "$device" "$type" "$label" "$quota"; fi
  grow_partition "$device"
  record "$(trait UUID "$device")" "$name" "$mount"
  printf '%s %s\n' "$where" "$device" >>"$work/places"
}
