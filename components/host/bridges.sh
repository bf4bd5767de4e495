# shellcheck shell=bash
# `docker_bridges`: the bridges of Docker's networks, one name a line; fails where Docker does not answer.
#
# A network says its bridge's name in its options; one that says none has `br-` and the first 12 digits of its id
# (moby, libnetwork/drivers/bridge). An answer takes 20 s at most. Without dockerd the command `docker` may be podman's.
# ---
docker_bridges() {
  local ids
  command -v dockerd >/dev/null && command -v docker >/dev/null || return 1
  ids=$(timeout 20 docker network ls -q --no-trunc --filter driver=bridge 2>/dev/null) || return 1
  if [ -z "$ids" ]; then return 0; fi
  # A network that goes meanwhile is no failure.
  # shellcheck disable=SC2086 # one word for each id
  { timeout 20 docker network inspect -f '{{with index .Options "com.docker.network.bridge.name"}}{{.}}{{else}}{{printf "br-%.12s" .Id}}{{end}}' $ids 2>/dev/null || true; } | sort -u
}
