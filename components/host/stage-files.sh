# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state
# `place MODE PATH [SERVICE]`: standard input becomes PATH, owned by root, if it differs: temporary name, fsync,
# rename. `unplace PATH [SERVICE]` removes it. With a SERVICE a mark is left first, and stays until `settled
# SERVICE`: a run cut between the file and the reload makes the next one reload.
# ---
place() {
  local mode=$1 path=$2 service=${3:-} dir temporary
  dir=$(dirname -- "$path")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.berth-new-??????
  temporary=$(mktemp -- "$dir/.berth-new-XXXXXX")
  cat >"$temporary"
  if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s -- "$temporary" "$path" &&
    [ "$(stat -c '%a %u %g' -- "$path")" = "${mode#0} 0 0" ]; then
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
  local path=$1 service=${2:-}
  [ -e "$path" ] || [ -L "$path" ] || return 0
  if [ -n "$service" ]; then : >"$state/pending/$service"; fi
  rm -f -- "$path"
  changed "$path"
}
pending() { [ -e "$state/pending/$1" ]; }
settled() { rm -f -- "$state/pending/$1"; }
