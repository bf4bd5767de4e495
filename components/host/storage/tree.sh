# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $directories $tree $root
# What is there stays as it is: only a directory that belongs to root, in a tree that is ours, gets its mode. Needs a
# prologue that sets root, directories and tree (PATH MODE of each).
# ---
kept=()
missing() {
  if [ -d "$1" ]; then return 1; fi
  if [ -e "$1" ] || [ -L "$1" ]; then
    fail "$1 is in the way: it is $(stat -c %F -- "$1"), and a directory is wanted there"
  fi
  install -d -m "$2" -- "$1" || fail "$1 cannot be made"
  changed "$1"
}
ours() {
  if missing "$1" "$2"; then return 0; fi
  if [ "$(stat -L -c '%u %g' -- "$1")" != '0 0' ]; then
    kept+=("$1")
  elif [ "$(stat -L -c %a -- "$1")" != "${2#0}" ]; then
    chmod "$2" -- "$1" || fail "$1 cannot be given mode $2"
    changed "$1"
  fi
}
for path in "${directories[@]}"; do missing "$path" 0755 || true; done
for ((i = 0; i < ${#tree[@]}; i += 2)); do ours "${tree[@]:i:2}"; done
fact_json kept "$(if [ "${#kept[@]}" -gt 0 ]; then printf '%s\n' "${kept[@]}"; fi | json_lines)"
fact filesystem "$(stat -f -c %T -- "$root")"
fact_json sizeBytes "$(df -P -B1 -- "$root" | awk 'NR == 2 {print $2}')"
