# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $secrets
# `secret KEY` prints one value of the JSON object on the stage's standard input. Never echo it.
# ---
secret() {
  local read='import json,sys
data = json.load(sys.stdin)
key = sys.argv[1]
if not isinstance(data.get(key), str): sys.exit("the secrets on standard input have no text named " + key)
sys.stdout.write(data[key])'
  printf '%s' "$secrets" | python3 -c "$read" "$1"
}
