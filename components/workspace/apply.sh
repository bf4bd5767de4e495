# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $container $seconds
# Needs a prologue that sets container and seconds.
# ---
if pending "$container"; then
  if [ "$(docker container inspect -f '{{.State.Running}}' "$container" 2>/dev/null)" = true ]; then
    # Its owner is root in it and may have broken it: that must not end an update of everybody, nor fill the node's log.
    timeout -k 5 "$seconds" docker exec "$container" berth-apply 2>&1 | tail -c 4000 ||
      fact unwell "does not take its new files over before it is started again"
  fi
  settled "$container"
fi
