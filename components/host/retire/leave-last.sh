# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $logs $lock
# Last, since a run that is cut needs the record, and a failure its log.
# ---
# What containers had below their packages stays mounted where berthd has no time to end it.
for path in "$state"/packages/containers/*/node_modules; do
  if mountpoint -q -- "$path"; then
    umount -- "$path" || umount --lazy -- "$path"
    changed "unmounted $path"
  fi
done
for path in /etc/berth /usr/local/lib/berth /run/berth /var/cache/berth; do
  if [ -e "$path" ]; then
    rm -rf -- "$path"
    changed "$path"
  fi
done
rm -rf -- "$state" "$logs"
rm -f -- "$lock"
