# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $filters
# What the stack's own destroy left: containers that its services made, or of a run that was cut. Named volumes
# are data; those without a name (`-v`) belong to their container alone.
# ---
# It would make containers again, for the pools of back-ends.
if [ -e /etc/systemd/system/berthd.service ]; then systemctl stop berthd.service; fi
if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then return 0; fi
for id in $(docker ps -a -q --no-trunc "${filters[@]}"); do
  name=$(docker inspect -f '{{.Name}}' "$id")
  docker rm -f -v -- "$id"
  changed "container ${name#/}"
done
for name in $(docker network ls "${filters[@]}" --format '{{.Name}}'); do
  docker network rm -- "$name"
  changed "network $name"
done
