# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $work
# The merge that the stage `runtime` will make, compared with what is there. Where there is Docker, there is Python: see
# preflight-told.sh. Needs merge.py, changed-keys.py and ours.json in $work.
# ---
if command -v dockerd >/dev/null; then
  version=$(dockerd --version | sed -n 's/^Docker version \([0-9.]*\).*/\1/p')
  cdi=no firewall=
  if dpkg --compare-versions "$version" ge 25; then cdi=yes; fi
  if dpkg --compare-versions "$version" ge 29; then firewall=iptables; fi
  FIREWALL=$firewall OURS=$work/merged-ours python3 "$work/merge.py" /etc/docker/daemon.json "$state/daemon.json" "$cdi" \
    <"$work/ours.json" >"$work/daemon.json"
  keys=$(python3 "$work/changed-keys.py" "$work/daemon.json" /etc/docker/daemon.json)
  if [ -n "$keys" ]; then
    text="sets in /etc/docker/daemon.json: $keys; and restarts dockerd"
    running=$(cat -- "$work/running")
    if [ "$running" -gt 0 ]; then
      text="$text. Containers that run ($running) go on: live-restore is switched on by a reload before the restart"
    fi
    will "$text"
  fi
fi
