# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $container $seconds
# Needs a prologue that sets container and seconds.
# ---
if ! said=$(docker container start "$container" 2>&1 >/dev/null); then
  printf '%s\n' "$said"
  fact unwell "could not be started: ${said:0:300}"
  return 0
fi
state() { docker container inspect -f '{{.State.Status}} {{.State.Health.Status}}' "$container"; }
over() { case $(state) in "running healthy") ;; "running "*) return 1;; esac; }
end=$((SECONDS + seconds))
until over || [ "$SECONDS" -ge "$end" ]; do sleep 0.3; done
case $(state) in
  "running healthy") ;;
  "running "*) fact unwell "did not get healthy within $seconds s";;
  *) fact unwell "ended soon after its start";;
esac
