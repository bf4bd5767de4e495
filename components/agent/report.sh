# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $socket $programs $work
# What berthd says of itself: the first words of what is wrong, where something is.
# ---
ask() {
  local path=$1
  shift
  curl -s -S --max-time 10 --unix-socket "$socket" "$@" "http://berthd$path"
}
read_json() {
  local read='import json, sys
value = json.load(open(sys.argv[1], encoding="utf-8"))
if sys.argv[2] == "reasons":
    print("; ".join(str(reason) for reason in value.get("reasons", [])))
else:
    print(len(value["gpus"]))'
  python3 -c "$read" "$1" "$2"
}
fact version "$(readlink -- "$programs/current")"
ready=false
if [ "$(ask /ready -o /dev/null -w '%{http_code}')" = 200 ]; then ready=true; fi
fact_json ready "$ready"
ask /health >"$work/health"
fact problem "$(read_json "$work/health" reasons)"
ask /api/gpus >"$work/gpus"
fact_json gpus "$(read_json "$work/gpus" gpus)"
