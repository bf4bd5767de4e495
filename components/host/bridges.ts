/** Which interfaces are whose: Docker is asked, the look of a name says nothing. Pure text. */

/** Where the answer is kept on a node, for the starts at which Docker cannot be asked yet. */
export const KNOWN_INTERFACES = "/var/lib/berth/interfaces";

/** The bridge of Docker's default network, and that of the workspaces (`berth-ws0`); podman's are podman0, podman1, … */
export const KNOWN_BRIDGES = { docker: ["docker0", "berth+"], podman: ["podman+"] } as const;

/**
 * `docker_bridges`: the bridges of Docker's networks, one name a line; fails where Docker does not answer.
 *
 * A network says its bridge's name in its options; one that says none has `br-` and the first 12 digits of its id
 * (moby, libnetwork/drivers/bridge). An answer takes 20 s at most. Without dockerd the command `docker` may be podman's.
 */
export const dockerBridges = `
docker_bridges() {
  local ids
  command -v dockerd >/dev/null && command -v docker >/dev/null || return 1
  ids=$(timeout 20 docker network ls -q --no-trunc --filter driver=bridge 2>/dev/null) || return 1
  if [ -z "$ids" ]; then return 0; fi
  # A network that goes meanwhile is no failure.
  # shellcheck disable=SC2086 # one word for each id
  { timeout 20 docker network inspect -f '{{with index .Options "com.docker.network.bridge.name"}}{{.}}{{else}}{{printf "br-%.12s" .Id}}{{end}}' $ids 2>/dev/null || true; } | sort -u
}
`.trim();

/**
 * `own_addresses`: INTERFACE ADDRESS/PREFIX, one a line: the machine's own, without those of Docker's bridges.
 * Docker is asked only while it runs: a question to its socket would start it.
 */
export const ownAddresses = `
${dockerBridges}
own_addresses() {
  local bridges=docker0
  if systemctl is-active -q docker.service; then bridges="docker0 $(docker_bridges | paste -s -d ' ' || true)"; fi
  ip -o addr show scope global | awk -v bridges="$bridges" '
    BEGIN { n = split(bridges, name, " "); for (i = 1; i <= n; i++) docker[name[i]] = 1 }
    !($2 in docker) { print $2, $4 }'
}
`.trim();
