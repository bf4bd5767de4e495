# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $home $container $work $log $user $node
# ---
# Runs on the node, in the steps of the stage. Set before it: $container $user $home, and the stage's own variables.

# inside USER SECONDS PROGRAM [ARGUMENT...]: one program in the workspace, with its own deadline there (ending
# `docker exec` would not end what it started).
inside() {
  local as=$1 seconds=$2 program=$3 place=$home
  shift 3
  if [ "$as" = root ]; then place=/root; fi
  docker exec -i -u "$as" -w "$place" -e "HOME=$place" -e "USER=$as" -e "LOGNAME=$as" -e LC_ALL=C.UTF-8 \
    "$container" timeout -k 10 "$seconds" bash -c "$(cat -- "$work/$program.sh")" "berth-$program" "$@"
}

# attempt NAME USER SECONDS PROGRAM [ARGUMENT...]: as a failed step of a stage ends the stage, this one keeps
# the failure for the end: what comes next does not depend on it.
attempt() {
  local name=$1 as=$2 seconds=$3 rc=0 from began ended answer status note why
  began=${EPOCHREALTIME/[.,]/}
  from=$(stat -c %s -- "$log")
  answer=$(inside "$as" "$seconds" "${@:4}") || rc=$?
  ended=${EPOCHREALTIME/[.,]/}
  status=${answer%% *} note=
  if [ "$status" != "$answer" ]; then note=${answer#* }; fi
  case $status in
    changed | unchanged) ;;
    *)
      if [ "$rc" -eq 0 ]; then
        rc=70
        printf 'the program ended without a result\n'
      fi
      ;;
  esac
  if [ "$rc" -ne 0 ]; then
    status=failed note=
    case $rc in
      124 | 137) why="not done within $seconds s, exit $rc" ;;
      *) why="exit $rc" ;;
    esac
    printf 'set-up of %s, step "%s" failed (%s): %s, log %s on %s\n' "$user" "$name" "$why" \
      "$(last_lines "$from")" "$log" "$node" >>"$work/failed"
  elif [ "$status" = changed ]; then
    changed "$name"
  fi
  printf '{"name":%s,"status":"%s","seconds":%s%s}\n' "$(json_string "$name")" "$status" \
    "$(seconds_of "$((ended - began))")" "${note:+,\"note\":$(json_string "$note")}" >>"$work/steps"
}

# What the log got since byte $1, its last lines in one.
last_lines() {
  local text
  text=$(tail -c "+$(($1 + 1))" -- "$log" | tr '\r\t' '\n ' | plain |
    grep -v '^[[:space:]]*$' | tail -n 3 | cut -c 1-160 | paste -s -d '|' | sed 's/|/ | /g') || true
  printf '%s' "${text:-nothing was printed}"
}

seconds_of() { printf '%d.%d' "$(($1 / 1000000))" "$(($1 / 100000 % 10))"; }

ready() {
  if ! docker exec "$container" sh -c '
    id -u "$1" >/dev/null || exit 1
    if command -v berth-workspace-health >/dev/null; then exec berth-workspace-health; fi
    exec bash -c "exec 3<>/dev/tcp/127.0.0.1/22"' berth-ready "$user"; then
    printf 'container %s: %s\n' "$container" \
      "$(docker inspect -f '{{.State.Status}} {{.State.Error}}' "$container" 2>&1 | tail -n 1)"
    return 1
  fi
}

conclude() {
  local failed
  failed=$(wc -l <"$work/failed")
  fact_json steps "$(printf '[%s]' "$(paste -s -d , -- "$work/steps")")"
  if [ "$failed" -eq 0 ]; then return 0; fi
  # The stage shows the end of its log, 20 lines and 4,000 bytes of it at most.
  if [ "$failed" -gt 14 ]; then printf '%s failures before these are in the log\n' "$((failed - 14))"; fi
  if [ "$failed" -gt 5 ]; then
    tail -n 14 -- "$work/failed" | cut -c 1-240
  else
    cat -- "$work/failed"
  fi
  exit 1
}
