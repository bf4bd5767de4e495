/**
 * A volume group and its logical volumes. Ours carry the tag `berth`; others are refused, never taken over.
 * No command gets --yes: LVM then leaves a device alone on which it finds data. Pure.
 */
import { quote } from "../shell";
import type { StoragePlan } from "./spec";

type Lvm = NonNullable<StoragePlan["lvm"]>;

export const lvmLibrary = `
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
      refuse "$where: $name ($device) is a physical volume of \${have:-no group}, not of $group. If it may go, run yourself: pvremove $device"
    else
      decide "$where" keep "$device"
    fi
  else
    not_empty "$where" "$name" "$device" "$found\${used:+; $used}"
  fi
}
`.trim();

/** Refusals of the group and its volumes; file systems on volumes that exist are looked at like any other. */
export function lvmExamine(lvm: Lvm): string {
  const physical = lvm.devices.map((device) => {
    const name = quote(`${device.kind} ${device.value}`);
    const where = quote(device.where);
    return `if device=$(find_device ${where} ${device.kind} ${quote(device.value)}); then examine_physical ${where} ${name} "$device"; fi`;
  });
  const volumes = lvm.volumes.map((volume) => {
    const name = quote(volume.name);
    const where = quote(volume.where);
    return `
if [ -n "$(lv lv_name ${name})" ]; then
  if ! tagged "$(lv lv_tags ${name})"; then
    refuse ${where}: "the logical volume $group/"${name} 'was not made by Berth. To hand it over: lvchange --addtag berth' "$group/"${name}
  else
    lvchange -a y -- "$group/"${name}
    examine_part ${where} "$group/"${name} "/dev/$group/"${name} ${volume.filesystem} ${quote(volume.mount)}
  fi
fi`;
  });
  return `
group=${quote(lvm.group)}
if [ -n "$(vg vg_name)" ] && ! tagged "$(vg vg_tags)"; then
  refuse storage.lvm.group: "the volume group $group was not made by Berth. To hand it over: vgchange --addtag berth $group"
fi
${physical.join("\n")}
${volumes.join("\n")}
`.trim();
}

/**
 * Making and growing. The file system grows after the mount, like that of any device: `lvextend -r` would do it
 * only in the run that extends the volume, not in one after a run that was cut.
 */
export function lvmMake(lvm: Lvm): string {
  const physical = lvm.devices.map(({ where }) => `physical ${quote(where)}`);
  const volumes = lvm.volumes.map((volume) => {
    const size = "bytes" in volume.size ? `bytes ${volume.size.bytes}` : `percent ${volume.size.percent}`;
    const words = [
      volume.where,
      `${lvm.group}/${volume.name}`,
      volume.filesystem,
      volume.mount,
      volume.label,
    ];
    return [
      `volume ${quote(volume.where)} ${quote(volume.name)} ${size}`,
      `finish ${words.map((word) => quote(word)).join(" ")} ${volume.quota ? "yes" : "no"}`,
    ].join("\n");
  });
  return `
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
    printf '%s: %s/%s is larger than asked, and stays: Berth never shrinks\\n' "$where" "$group" "$name"
  fi
}
${physical.join("\n")}
${volumes.join("\n")}
`.trim();
}
