# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $work
# Finding and telling apart. `$records` is where the UUIDs of our file systems stand.
# ---
records=$state/storage
trait() { blkid -p -s "$1" -o value -- "$2" 2>/dev/null || true; }
signatures() { wipefs -n -i -O TYPE,LABEL,UUID -- "$1" | tr -s ' ' | sed 's/ $//' | sort -u | paste -s -d ';'; }
refuse() { printf '%s\n' "$*" >>"$work/refused"; }
find_serial() {
  local link
  {
    for link in /dev/disk/by-id/*; do
      case $link in
        *-part[0-9]*) ;;
        *[-_]"$1") if [ -e "$link" ]; then readlink -f -- "$link"; fi ;;
      esac
    done
    lsblk -d -n -r -p -o NAME,SERIAL | awk -v serial="$1" '$2 == serial {print $1}'
  } | sort -u
}
find_uuid() { blkid -c /dev/null -t "UUID=$1" -o device || true; }
find_device() {
  local where=$1 kind=$2 value=$3 found
  case $kind in
    serial) found=$(find_serial "$value") ;;
    uuid) found=$(find_uuid "$value") ;;
  esac
  case $found in
    '')
      refuse "$where: no device with $kind $value. This machine has: $(
        lsblk -d -n -r -p -o NAME,SERIAL,SIZE | awk '$1 !~ /(loop|zram|ram|sr)[0-9]+$/' | paste -s -d ';'
      )"
      return 1
      ;;
    *$'\n'*)
      refuse "$where: more than one device has $kind $value: ${found//$'\n'/ }. Name one that is unique"
      return 1
      ;;
  esac
  printf '%s\n' "$found"
}
partitions() { lsblk -n -r -p -o NAME,TYPE -- "$1" | awk '$2 == "part" {print $1}'; }
# What uses a device: "/dev/sdb1 is mounted at /x; …".
uses() {
  local name type mount first=yes
  lsblk -n -r -p -o NAME,TYPE,MOUNTPOINT -- "$1" | while read -r name type mount; do
    if [ "$mount" = '[SWAP]' ]; then
      printf '%s is swap space in use\n' "$name"
    elif [ -n "$mount" ]; then
      printf '%s is mounted at %s\n' "$name" "$mount"
    fi
    if [ "$first" = no ] && [ "$type" != part ]; then printf '%s (%s) is built on it\n' "$name" "$type"; fi
    first=no
  done | sort -u | paste -s -d ';'
}
numbers() { lsblk -d -n -o MAJ:MIN -- "$1" | tr -d ' '; }
mount_points() { findmnt -n -r -o MAJ:MIN,TARGET | awk -v d="$(numbers "$1")" '$1 == d {print $2}'; }
recorded() { [ -f "$records/filesystems" ] && grep -q -F -e "$1 " -- "$records/filesystems"; }
ours() {
  case $(trait LABEL "$1") in berth-*) return 0 ;; esac
  local uuid
  uuid=$(trait UUID "$1")
  [ -n "$uuid" ] && recorded "$uuid"
}
not_empty() {
  refuse "$1: $2 ($3) holds data that is not Berth's: $4. Berth makes file systems only on empty devices." \
    "To keep the data, name its file system: match: { uuid: … }. If it may go, run yourself: wipefs -a $3"
}
# Is the file system on PART the one that is asked for? WHERE NAME PART TYPE MOUNT
examine_filesystem() {
  local where=$1 name=$2 part=$3 type=$4 mount=$5 have used bytes size
  have=$(trait TYPE "$part")
  if [ "$have" != "$type" ]; then
    refuse "$where: $name ($part) holds ${have:-no file system} and $type is asked for. Berth does not convert: set filesystem to what is there"
    return 0
  fi
  used=$(mount_points "$part")
  if [ -n "$used" ] && ! known_place "$used" "$mount" "$(mounted_before "$(trait UUID "$part")")"; then
    refuse "$where: $name ($part) is mounted at ${used//$'\n'/, }, and $mount is asked for. Unmount it there first, and take it out of /etc/fstab"
    return 0
  fi
  # A mounted one fits: the kernel has checked it.
  if [ -n "$used" ]; then bytes=0; else bytes=$(filesystem_bytes "$part" "$type"); fi
  size=$(blockdev --getsize64 "$part")
  if [ "$bytes" -gt "$size" ]; then
    refuse "$where: $name ($part) has $size bytes, less than the $bytes of its file system. Berth never shrinks one: give the device its size back"
    return 0
  fi
  decide "$where" keep "$part"
}
# Where we mounted a file system the last time.
mounted_before() {
  if [ -n "$1" ] && [ -f "$records/mounts" ]; then awk -v u="UUID=$1" '$1 == u {print $2}' "$records/mounts"; fi
}
# Is one of the lines of TEXT among the others given?
known_place() {
  local text=$1 place
  shift
  for place in "$@"; do
    if [ -n "$place" ] && grep -q -x -F -e "$place" <<<"$text"; then return 0; fi
  done
  return 1
}
decide() { printf '%s %s %s\n' "$1" "$2" "$3" >>"$work/decisions"; }
# WHERE NAME DEVICE TYPE MOUNT: a whole device, found by its serial number.
examine_disk() {
  local where=$1 name=$2 disk=$3 type=$4 mount=$5 parts found used
  parts=$(partitions "$disk")
  found=$(signatures "$disk")
  if [ -z "$found$parts" ]; then
    # A lost partition table leaves its file systems where they were: most often at 1 MiB.
    found=$(blkid -p -O 1048576 -s TYPE -o value -- "$disk" 2>/dev/null || true)
    used=$(uses "$disk")
    if [ -n "$found" ]; then
      not_empty "$where" "$name" "$disk" "$found, 1 MiB from its start, in no partition"
    elif [ -n "$used" ]; then
      refuse "$where: $name ($disk) is in use: $used"
    else
      decide "$where" partition "$disk"
    fi
  elif [ -z "$parts" ] && ours "$disk"; then
    examine_filesystem "$where" "$name" "$disk" "$type" "$mount"
  elif [ -n "$parts" ] && [ "${parts//$'\n'/}" = "$parts" ] && [ "$(sfdisk --part-label "$disk" 1)" = berth ]; then
    examine_part "$where" "$name" "$parts" "$type" "$mount"
  else
    for used in $parts; do found="$found; $used: $(signatures "$used")"; done
    used=$(uses "$disk")
    not_empty "$where" "$name" "$disk" "${found#; }${used:+; $used}"
  fi
}
# WHERE NAME PART TYPE MOUNT: our partition, or a logical volume of ours.
examine_part() {
  local where=$1 name=$2 part=$3 found
  found=$(signatures "$part")
  if [ -z "$found" ]; then
    decide "$where" format "$part"
  elif ours "$part"; then
    examine_filesystem "$@"
  else
    not_empty "$where" "$name" "$part" "$found"
  fi
}
decision() { awk -v where="$1" '$1 == where {print $2, $3}' "$work/decisions"; }
all_or_nothing() {
  if [ -s "$work/refused" ]; then
    cat -- "$work/refused"
    fail 'no device was touched'
  fi
}
