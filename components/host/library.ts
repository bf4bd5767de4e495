/** The bash that every host stage starts with, and the parts that only some need. Pure text. */

/** Where a stage keeps its things on a node. Only tests use other places. */
export interface StagePaths {
  /** Logs, 0700. @default "/var/log/berth" */
  logs: string;
  /** State that outlives a reboot, 0700. @default "/var/lib/berth" */
  state: string;
  /** One stage at a time on a node. @default "/run/berth-stage.lock" */
  lock: string;
}

export const defaultPaths: StagePaths = {
  logs: "/var/log/berth",
  state: "/var/lib/berth",
  lock: "/run/berth-stage.lock",
};

/** A log above this starts anew; the one before is kept as `<stage>.log.1`. */
export const LOG_BYTES = 1024 * 1024;

/** Lines and bytes of the log that a failure shows: enough to see the cause, short enough for a console. */
export const TAIL_LINES = 20;
export const TAIL_BYTES = 4000;

/**
 * Steps, facts, log and lock. `$stage $node $logs $state $lock $lock_seconds` are set before it.
 *
 * A step runs in a subshell in a process group of its own, so that its deadline ends all that it started; it
 * has no standard input and none of the stage's own descriptors (a service that it starts must not hold the lock).
 */
export const coreLibrary = `
log=$logs/$stage.log
step_name=start step_pid='' watch_pid='' work='' log_start=0
finish() {
  local rc=$?
  trap - EXIT HUP INT TERM
  if [ -n "$step_pid" ]; then kill -TERM -- "-$step_pid" 2>/dev/null || true; fi
  if [ -n "$watch_pid" ]; then kill -KILL -- "-$watch_pid" 2>/dev/null || true; fi
  if [ "$rc" -ne 0 ]; then
    {
      printf 'stage %s, step "%s" failed: see %s on %s\\n' "$stage" "$step_name" "$log" "$node"
      tail -c "+$((log_start + 1))" "$log" | tail -n ${TAIL_LINES} | tail -c ${TAIL_BYTES} | plain
    } >&4 || true
  fi
  if [ -n "$work" ]; then rm -rf -- "$work"; fi
  exit "$rc"
}
# Text without what moves a terminal's cursor or turns its lines round: ASCII's control characters but tab and newline,
# and in UTF-8 U+0080 to U+009F, U+202A to U+202E and U+2066 to U+2069.
plain() {
  tr -d '\\000-\\010\\013-\\037\\177' |
    LC_ALL=C sed -e 's/\\xc2[\\x80-\\x9f]//g' -e 's/\\xe2\\x80[\\xaa-\\xae]//g' -e 's/\\xe2\\x81[\\xa6-\\xa9]//g'
}
fail() {
  printf '%s\\n' "$*"
  exit 1
}
changed() {
  printf 'changed %s\\n' "$1"
  printf '%s\\n' "$1" >>"$work/changed"
}
json_string() {
  local text=$1
  text=\${text//\\\\/\\\\\\\\}
  text=\${text//\\"/\\\\\\"}
  text=\${text//[[:cntrl:]]/ }
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
fact() { printf '%s:%s\\n' "$(json_string "$1")" "$(json_string "$2")" >>"$work/facts"; }
fact_json() { printf '%s:%s\\n' "$(json_string "$1")" "$2" >>"$work/facts"; }
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
  printf '== %s stage %s, step "%s"\\n' "$(date -u +%FT%TZ)" "$stage" "$1"
  set -m
  (
    trap - EXIT HUP INT TERM
    exec 3>&- 4>&- 9>&-
    set -o errtrace
    # The text of a command, never its expanded values.
    trap 'printf "exit %s from: %s\\n" "$?" "$BASH_COMMAND"' ERR
    "$3"
  ) </dev/null &
  step_pid=$!
  (
    trap - EXIT HUP INT TERM
    exec 3>&- 4>&- 9>&-
    sleep "$seconds"
    printf 'the step ran past its deadline of %s s\\n' "$seconds"
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
  printf '== exit %s after %s s\\n' "$rc" "$((SECONDS - began))"
  if [ "$rc" -ne 0 ]; then exit "$rc"; fi
}
begin() {
  exec 3>&1 4>&2
  install -d -m 0700 -- "$logs" "$state" "$state/pending"
  if [ -f "$log" ] && [ "$(stat -c %s -- "$log")" -gt ${LOG_BYTES} ]; then mv -f -- "$log" "$log.1"; fi
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
  printf 'stage %s, pid %s, since %s\\n' "$stage" "$$" "$(date -u +%FT%TZ)" >"$lock"
  work=$(mktemp -d)
  : >"$work/facts"
  : >"$work/changed"
}
report() {
  fact stage "$stage"
  fact_json changed "$(sort -u -- "$work/changed" | json_lines)"
  printf 'BERTH_FACTS {%s}\\n' "$(paste -s -d , -- "$work/facts")" >&3
}
`.trim();

/**
 * `place MODE PATH [SERVICE]`: standard input becomes PATH, owned by root, if it differs: temporary name, fsync,
 * rename. `unplace PATH [SERVICE]` removes it. With a SERVICE a mark is left first, and stays until `settled
 * SERVICE`: a run cut between the file and the reload makes the next one reload.
 */
export const filesLibrary = `
place() {
  local mode=$1 path=$2 service=\${3:-} dir temporary
  dir=$(dirname -- "$path")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.berth-new-??????
  temporary=$(mktemp -- "$dir/.berth-new-XXXXXX")
  cat >"$temporary"
  if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s -- "$temporary" "$path" &&
    [ "$(stat -c '%a %u %g' -- "$path")" = "\${mode#0} 0 0" ]; then
    rm -f -- "$temporary"
    return 0
  fi
  chmod "$mode" -- "$temporary"
  chown 0:0 -- "$temporary"
  sync -- "$temporary"
  if [ -n "$service" ]; then : >"$state/pending/$service"; fi
  mv -f -T -- "$temporary" "$path"
  sync -- "$dir"
  changed "$path"
}
unplace() {
  local path=$1 service=\${2:-}
  [ -e "$path" ] || [ -L "$path" ] || return 0
  if [ -n "$service" ]; then : >"$state/pending/$service"; fi
  rm -f -- "$path"
  changed "$path"
}
pending() { [ -e "$state/pending/$1" ]; }
settled() { rm -f -- "$state/pending/$1"; }
`.trim();

/**
 * `apt_install PACKAGE...`: installs the missing ones. Waits for another apt or dpkg (a fresh cloud machine
 * updates itself), mends an interrupted one, tries three times.
 */
export const aptLibrary = `
apt_get() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 apt-get -q -y \\
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \\
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
apt_update() {
  apt_get update
  : >"$state/apt-updated"
}
apt_lists() {
  if [ -z "$(find "$state/apt-updated" -mmin -60 2>/dev/null)" ]; then apt_update; fi
}
apt_installed() { [ "$(dpkg-query -W -f '\${db:Status-Status}' -- "$1" 2>/dev/null)" = installed ]; }
apt_install() {
  local missing=() package try
  for package in "$@"; do
    if ! apt_installed "$package"; then missing+=("$package"); fi
  done
  if [ "\${#missing[@]}" -eq 0 ]; then return 0; fi
  printf 'missing: %s\\n' "\${missing[*]}"
  for try in 1 2 3; do
    if [ -n "$(dpkg --audit 2>/dev/null)" ]; then
      DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a || true
    fi
    if [ "$try" = 1 ]; then apt_lists || true; else apt_update || true; fi
    if apt_get install --no-install-recommends "\${missing[@]}"; then
      for package in "\${missing[@]}"; do changed "package $package"; done
      return 0
    fi
    printf 'try %s of 3 failed\\n' "$try"
    if [ "$try" != 3 ]; then sleep "$((try * 5))"; fi
  done
  fail "could not install: \${missing[*]}"
}
`.trim();

/** `secret KEY` prints one value of the JSON object on the stage's standard input. Never echo it. */
export const secretsLibrary = `
secret() {
  local read='import json,sys
data = json.load(sys.stdin)
key = sys.argv[1]
if not isinstance(data.get(key), str): sys.exit("the secrets on standard input have no text named " + key)
sys.stdout.write(data[key])'
  printf '%s' "$secrets" | python3 -c "$read" "$1"
}
`.trim();
