# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $mount_points
# Lines of others in fstab for a place that the storage stage mounts something at. Needs fstab.sh, and a prologue that
# sets mount_points.
# ---
if [ -e /etc/fstab ]; then
  theirs | places >"$work/their-places"
  for place in "${mount_points[@]}"; do
    if in_fstab "$place" "$work/their-places"; then
      problem "/etc/fstab has a line for $place that is not Berth's: take it out, or leave $place out of the configuration"
    fi
  done
fi
