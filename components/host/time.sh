# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $zone
# Needs a prologue that sets zone.
# ---
if systemd-detect-virt --container -q; then
  # The clock is the operator's computer's.
  fact timeSync host
  return 0
fi
case "$zone" in /* | *..*) fail "base.timezone: '$zone' is no name of the tz database" ;; esac
if [ ! -f "/usr/share/zoneinfo/$zone" ]; then fail "base.timezone: '$zone' is no name of the tz database"; fi
if [ "$(readlink -f /etc/localtime)" != "$(readlink -f "/usr/share/zoneinfo/$zone")" ]; then
  timedatectl set-timezone "$zone"
  changed timezone
fi
for service in chrony chronyd ntpsec ntp; do
  if systemctl is-active -q "$service"; then
    fact timeSync "$service"
    return 0
  fi
done
apt_install systemd-timesyncd
if ! systemctl is-active -q systemd-timesyncd; then
  systemctl enable --now systemd-timesyncd
  changed systemd-timesyncd
fi
fact timeSync systemd-timesyncd
