# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# What the server is, and what stands in the way. Needs own-addresses.sh and look-helpers.sh.
# ---
: >"$work/problems"
if [ ! -d /run/systemd/system ]; then
  problem "systemd does not run here: process 1 is $(cat /proc/1/comm). Berth's host stages need systemd"
fi
if ! command -v ip >/dev/null || ! command -v ss >/dev/null; then
  fail 'the commands ip and ss are missing, with which addresses and ports are looked at: apt-get install iproute2'
fi
fact login "${SUDO_USER:-$(id -un)}"
# The stage runs as root: by itself, or through sudo without a password.
fact_json sudo "$(if [ -n "${SUDO_USER:-}" ]; then echo true; else echo false; fi)"
fact_json users "$(getent passwd | awk -F : '$3 >= 1000 && $3 < 60000' | json_lines)"
fact_json disks "$({ lsblk -P -b -o NAME,TYPE,SIZE,FSTYPE,PTTYPE,LABEL,UUID,MOUNTPOINT 2>/dev/null || true; } | json_lines)"
fact_json mounts "$({ findmnt -n -r -b --real -o SOURCE,TARGET,FSTYPE,SIZE,AVAIL 2>/dev/null || true; } | json_lines)"
timesync=none
for service in chrony chronyd ntpsec ntp systemd-timesyncd; do
  if systemctl is-active -q "$service"; then
    timesync=$service
    break
  fi
done
if systemd-detect-virt --container -q; then timesync=host; fi
printf '%s\n' "$timesync" >"$work/timesync"
fact timeSync "$timesync"
fact_json synchronized "$(if [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null || true)" = yes ]; then echo true; else echo false; fi)"
private_address() {
  local holder
  holder=$(ip -o addr show to "$1" | awk 'NR == 1 {print $2}')
  fact privateInterface "$holder"
  if [ -z "$holder" ]; then
    problem "the private address $1 is on no interface of this server. It has: $(own_addresses | paste -s -d ,)"
  elif [ -n "$2" ] && ! ip -o addr show dev "$2" to "$1" 2>/dev/null | grep -q .; then
    problem "the private address $1 is on $holder, and privateInterface says $2"
  fi
}
