# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $security_updates $zone $work
# What the stage `base` will change. Needs a prologue that sets security_updates (yes or no) and zone.
# ---
new_file /etc/systemd/journald.conf.d/50-berth.conf 'a limit for the journal'
new_file /etc/sysctl.d/60-berth.conf 'kernel settings: reserved ports, and outside containers inotify and memory maps'
if [ "$security_updates" = yes ]; then
  new_file /etc/apt/apt.conf.d/53berth-security-updates 'security updates every day, nothing restarts by itself'
fi
if ! systemd-detect-virt --container -q; then
  if [ "$(readlink -f /etc/localtime)" != "$(readlink -f "/usr/share/zoneinfo/$zone")" ]; then
    will "sets the time zone to $zone (now $(timedatectl show -p Timezone --value))"
  fi
  if [ "$(cat -- "$work/timesync")" = none ]; then will 'starts systemd-timesyncd: no time service runs'; fi
fi
