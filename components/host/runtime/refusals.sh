# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $daemon_keys $work
# Refuses, in daemon.json and on dockerd's command line, what would leave published ports open, and an option for what
# Berth sets in the file: the rules stand in DOCKER-USER, a chain of iptables. Without Docker's own rules nothing
# jumps there, and the nftables backend (Docker 29) has no such chain
# (docs.docker.com/engine/network/firewall-nftables: "there is no DOCKER-USER chain"). Needs told.sh, and a prologue
# that sets daemon_keys.
# ---
told "${daemon_keys[@]}" >"$work/told"
if [ -s "$work/told" ]; then
  cat -- "$work/told"
  fail 'what dockerd is told by others cannot be used with Berth: see above; nothing of Docker was changed'
fi
