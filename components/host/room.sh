# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $min_free
# Needs a prologue that sets min_free (PATH BYTES of each).
# ---
if command -v dockerd >/dev/null; then return 0; fi
check_room() {
  local path=$1 need=$2 free
  while [ ! -e "$path" ]; do path=$(dirname -- "$path"); done
  free=$(df -P -B1 -- "$path" | awk 'NR == 2 {print $4}')
  if [ "$free" -lt "$need" ]; then
    fail "too little room for $1: $((need / 1048576)) MiB are needed, $((free / 1048576)) MiB are free"
  fi
}
for ((i = 0; i < ${#min_free[@]}; i += 2)); do check_room "${min_free[@]:i:2}"; done
