# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $group
# Looks at a volume group and its logical volumes, and makes what is missing. Needs blocks.sh, and a prologue that
# sets group.
# ---
vg() { { vgs --noheadings --units b --nosuffix -o "$1" -- "$group" 2>/dev/null || true; } | tr -d ' '; }
lv() { { lvs --noheadings --units b --nosuffix -o "$1" -- "$group/$2" 2>/dev/null || true; } | tr -d ' '; }
pv() { { pvs --noheadings --units b --nosuffix -o "$1" -- "$2" 2>/dev/null || true; } | tr -d ' '; }
tagged() { case ,$1, in *,berth,*) return 0 ;; *) return 1 ;; esac; }
# WHERE NAME DEVICE: a physical volume of the group, or an empty device that becomes one.
examine_physical() {
  local where=$1 name=$2 device=$3 found used have
  found=$(signatures "$device")
  used=$(uses "$device")
  if [ -z "$found$(partitions "$device")" ]; then
    if [ -n "$used" ]; then
      refuse "$where: $name ($device) is in use: $used"
    else
      decide "$where" add "$device"
    fi
  elif [ "$(trait TYPE "$device")" = LVM2_member ]; then
    have=$(pv vg_name "$device")
    if [ "$have" != "$group" ]; then
      refuse "$where: $name ($device) is a physical volume of ${have:-no group}, not of $group. If it may go, run yourself: pvremove $device"
    else
      decide "$where" keep "$device"
    fi
  else
    not_empty "$where" "$name" "$device" "$found${used:+; $used}"
  fi
}
examine_group() {
  if [ -n "$(vg vg_name)" ] && ! tagged "$(vg vg_tags)"; then
    refuse storage.lvm.group: "the volume group $group was not made by Berth. To hand it over: vgchange --addtag berth $group"
  fi
}
# WHERE NAME TYPE MOUNT: a logical volume that exists has a file system that is looked at like any other.
examine_volume() {
  local where=$1 name=$2
  if [ -z "$(lv lv_name "$name")" ]; then return 0; fi
  if ! tagged "$(lv lv_tags "$name")"; then
    refuse "$where: the logical volume $group/$name was not made by Berth. To hand it over: lvchange --addtag berth $group/$name"
  else
    lvchange -a y -- "$group/$name"
    examine_part "$where" "$group/$name" "/dev/$group/$name" "$3" "$4"
  fi
}
# WHERE: a device becomes a physical volume of the group, or grows as one. The file system grows after the mount, like
# that of any device: `lvextend -r` would do it only in the run that extends the volume, not in one after a run that was cut.
physical() {
  local action device before
  read -r action device < <(decision "$1")
  if [ "$action" = add ] && [ -z "$(vg vg_name)" ]; then
    pvcreate -q -- "$device"
    vgcreate -q --addtag berth -- "$group" "$device"
    changed "volume group $group on $device"
  elif [ "$action" = add ]; then
    pvcreate -q -- "$device"
    vgextend -q -- "$group" "$device"
    changed "volume group $group extended by $device"
  else
    before=$(pv pv_size "$device")
    if [ $(($(blockdev --getsize64 "$device") - before)) -gt $((2 * $(vg vg_extent_size))) ]; then
      pvresize -q -- "$device"
      if [ "$(pv pv_size "$device")" -gt "$before" ]; then changed "physical volume $device grown"; fi
    fi
  fi
}
# WHERE NAME UNIT SIZE
volume() {
  local where=$1 name=$2 extent have want
  extent=$(vg vg_extent_size)
  if [ "$3" = percent ]; then
    want=$(($(vg vg_extent_count) * $4 / 100))
  else
    want=$((($4 + extent - 1) / extent))
  fi
  have=$(lv lv_size "$name")
  if [ -z "$have" ]; then
    if [ "$want" -gt "$(vg vg_free_count)" ]; then
      fail "$where: $group/$name needs $want extents of $extent bytes, and the group has $(vg vg_free_count) free. Add a device or ask for less"
    fi
    lvcreate -q -W n -Z n --addtag berth -l "$want" -n "$name" -- "$group"
    settle
    changed "logical volume $group/$name"
    if [ -n "$(signatures "/dev/$group/$name")" ]; then
      fail "$where: the new logical volume $group/$name shows old data: $(signatures "/dev/$group/$name"). Nothing was made on it"
    fi
    decide "$where" format "/dev/$group/$name"
  elif [ "$want" -gt $((have / extent)) ]; then
    lvextend -q -l "$want" -- "$group/$name"
    changed "logical volume $group/$name grown"
  elif [ "$want" -lt $((have / extent)) ]; then
    printf '%s: %s/%s is larger than asked, and stays: Berth never shrinks\n' "$where" "$group" "$name"
  fi
}
