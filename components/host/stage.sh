# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $logs $stage $node $state $lock $lock_seconds
# Steps, facts, log and lock. `$stage $node $logs $state $lock $lock_seconds` are set before it.
#
# A step runs in a subshell in a process group of its own, so that its deadline ends all that it started; it
# has no standard input and none of the stage's own descriptors (a service that it starts must not hold the lock).
#
# A log above 1 MiB starts anew; the one before is kept as STAGE.log.1. A failure shows 20 lines of the log, and 4000
# bytes at most: enough to see the cause, short enough for a console.
# ---
log=$logs/$stage.log
step_name=start step_pid='' watch_pid='' work='' log_start=0
finish() {
  local rc=$?
  trap - EXIT HUP INT TERM
  if [ -n "$step_pid" ]; then kill -TERM -- "-$step_pid" 2>/dev/null || true; fi
  if [ -n "$watch_pid" ]; then kill -KILL -- "-$watch_pid" 2>/dev/null || true; fi
  if [ "$rc" -ne 0 ]; then
    {
      printf 'stage %s, step "%s" failed: see %s on %s\n' "$stage" "$step_name" "$log" "$node"
      tail -c "+$((log_start + 1))" "$log" | tail -n 20 | tail -c 4000 | plain
    } >&4 || true
  fi
  if [ -n "$work" ]; then rm -rf -- "$work"; fi
  exit "$rc"
}
# Text without what moves a terminal's cursor or turns its lines round: ASCII's control characters but tab and newline,
# and in UTF-8 U+0080 to U+009F, U+202A to U+202E and U+2066 to U+2069.
plain() {
  tr -d '\000-\010\013-\037\177' |
    LC_ALL=C sed -e 's/\xc2[\x80-\x9f]//g' -e 's/\xe2\x80[\xaa-\xae]//g' -e 's/\xe2\x81[\xa6-\xa9]//g'
}
fail() {
  printf '%s\n' "$*"
  exit 1
}
changed() {
  printf 'changed %s\n' "$1"
  printf '%s\n' "$1" >>"$work/changed"
}
json_string() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//[[:cntrl:]]/ }
  printf '"%s"' "$text"
}
json_lines() {
  local line comma=''
  printf '['
  while IFS= read -r line; do
    printf '%s' "$comma"
    json_string "$line"
    comma=,
  done
  printf ']'
}
fact() { printf '%s:%s\n' "$(json_string "$1")" "$(json_string "$2")" >>"$work/facts"; }
fact_json() { printf '%s:%s\n' "$(json_string "$1")" "$2" >>"$work/facts"; }
wait_for() {
  local seconds=$1 what=$2 end
  end=$((SECONDS + seconds))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      "$@" || true
      fail "$what: not within $seconds s"
    fi
    sleep 0.3
  done
}
step() {
  local seconds=$2 rc=0 began=$SECONDS
  step_name=$1
  printf '== %s stage %s, step "%s"\n' "$(date -u +%FT%TZ)" "$stage" "$1"
  set -m
  (
    trap - EXIT HUP INT TERM
    exec 3>&- 4>&- 9>&-
    set -o errtrace
    # The text of a command, never its expanded values.
    trap 'printf "exit %s from: %s\n" "$?" "$BASH_COMMAND"' ERR
    "$3"
  ) </dev/null &
  step_pid=$!
  (
    trap - EXIT HUP INT TERM
    exec 3>&- 4>&- 9>&-
    sleep "$seconds"
    printf 'the step ran past its deadline of %s s\n' "$seconds"
    kill -TERM -- "-$step_pid"
    sleep 5
    kill -KILL -- "-$step_pid"
  ) </dev/null 2>/dev/null &
  watch_pid=$!
  disown "$watch_pid"
  set +m
  wait "$step_pid" || rc=$?
  kill -KILL -- "-$watch_pid" 2>/dev/null || true
  # What a failed step left running would be in the next run's way.
  if [ "$rc" -ne 0 ]; then kill -KILL -- "-$step_pid" 2>/dev/null || true; fi
  step_pid='' watch_pid=''
  printf '== exit %s after %s s\n' "$rc" "$((SECONDS - began))"
  if [ "$rc" -ne 0 ]; then exit "$rc"; fi
}
begin() {
  exec 3>&1 4>&2
  install -d -m 0700 -- "$logs" "$state" "$state/pending"
  if [ -f "$log" ] && [ "$(stat -c %s -- "$log")" -gt 1048576 ]; then mv -f -- "$log" "$log.1"; fi
  : >>"$log"
  chmod 0600 -- "$log"
  exec >>"$log" 2>&1
  log_start=$(stat -c %s -- "$log")
  trap finish EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  step_name='wait for the lock'
  exec 9>>"$lock"
  if ! flock -w "$lock_seconds" 9; then
    fail "another stage has held $lock for more than $lock_seconds s: $(cat -- "$lock")"
  fi
  printf 'stage %s, pid %s, since %s\n' "$stage" "$$" "$(date -u +%FT%TZ)" >"$lock"
  work=$(mktemp -d)
  : >"$work/facts"
  : >"$work/changed"
}
report() {
  fact stage "$stage"
  fact_json changed "$(sort -u -- "$work/changed" | json_lines)"
  printf 'BERTH_FACTS {%s}\n' "$(paste -s -d , -- "$work/facts")" >&3
}
