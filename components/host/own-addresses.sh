# shellcheck shell=bash
# `own_addresses`: INTERFACE ADDRESS/PREFIX, one a line: the machine's own, without those of Docker's bridges.
# Docker is asked only while it runs: a question to its socket would start it.
# ---
own_addresses() {
  local bridges=docker0
  if systemctl is-active -q docker.service; then bridges="docker0 $(docker_bridges | paste -s -d ' ' || true)"; fi
  ip -o addr show scope global | awk -v bridges="$bridges" '
    BEGIN { n = split(bridges, name, " "); for (i = 1; i <= n; i++) docker[name[i]] = 1 }
    !($2 in docker) { print $2, $4 }'
}
