# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $begin $end $records $guard
# Writes fstab and mounts what is missing, outer places first. Needs mounts.sh, want.sh and fstab.sh.
# ---
device_of() { awk -v t="$1" '$1 == t {print $2}' "$work/devices"; }
# ext4 that was made without quotas learns them while it is not mounted; fstab must not ask for them before.
while read -r source target type options; do
  case ,$options, in *,prjquota,*) ;; *) continue ;; esac
  device=$(device_of "$target")
  if [ "$type" = ext4 ] && ! dumpe2fs -h "$device" 2>/dev/null | grep -q -E '^Filesystem features:.* quota( |$)'; then
    ready=no
  elif mounted "$target" && ! findmnt -n -o OPTIONS --mountpoint "$target" | tr , '\n' | grep -q -x -E 'prjquota|pquota'; then
    ready=remount
  else
    continue
  fi
  if mounted "$target"; then
    users=$(busy "$target")
    if [ -n "$users" ] || ! unguard "$target" || ! umount -- "$target"; then
      fail_guarded "quotas on $target start with a fresh mount, and it is in use${users:+ by $users}: stop that and run again"
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
    printf '%s\n' "$begin"
    awk '{fsck = ($1 ~ /^UUID=/ && $3 == "ext4") ? 2 : 0; print $1, $2, $3, $4, 0, fsck}' "$work/wanted"
    printf '%s\n' "$end"
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
    if [ -z "$old" ]; then whose=theirs; else whose=${old##* }; fi
    was=$(awk '{print $4}' <<<"$old" | tr , '\n' | grep -v -x prjquota | paste -s -d , || true)
    now=$(tr , '\n' <<<"$options" | grep -v -x prjquota | paste -s -d , || true)
    if [ -n "$old" ] && [ "$was" != "$now" ] && [ "$type" != none ]; then
      mount -o remount -- "$target" || fail "$target does not take its new options $options while it is mounted"
      changed "options of $target"
    fi
  else
    mount_point "$target"
    # Known before it is mounted: a run that is cut here has still mounted it.
    if [ -z "$old" ]; then printf '%s %s %s %s ours\n' "$source" "$target" "$type" "$options" >>"$records/mounts"; fi
    mount_now "$target"
  fi
  printf '%s %s %s %s %s\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
done <"$work/wanted"
# What is no longer wanted stays in the record until it is unmounted.
while read -r line; do
  target=$(awk '{print $2}' <<<"$line")
  if ! awk -v t="$target" '$2 == t {found = 1} END {exit !found}' "$work/wanted"; then printf '%s\n' "$line" >>"$work/mounts"; fi
done <"$records/mounts"
if ! cmp -s -- "$work/mounts" "$records/mounts"; then
  cp -- "$work/mounts" "$records/mounts.new"
  sync -- "$records/mounts.new"
  mv -f -T -- "$records/mounts.new" "$records/mounts"
fi
# A step that fails before the guard's own leaves nothing open.
if [ -s "$work/released" ]; then "$guard" start || true; fi
