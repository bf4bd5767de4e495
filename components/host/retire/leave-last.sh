# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $logs $lock
# Last, since a run that is cut needs the record, and a failure its log.
# ---
for path in /etc/berth /usr/local/lib/berth /run/berth /var/cache/berth; do
  if [ -e "$path" ]; then
    rm -rf -- "$path"
    changed "$path"
  fi
done
rm -rf -- "$state" "$logs"
rm -f -- "$lock"
