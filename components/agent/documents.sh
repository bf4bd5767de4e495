# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $secrets
# `document KEY` prints a part of the stage's standard input as JSON. `same_but_users FILE FILE`: two node documents
# that differ in their people and tenants at most, which berthd takes over while it runs.
# ---
document() {
  local read='import json, sys
json.dump(json.load(sys.stdin)[sys.argv[1]], sys.stdout, indent=2)
sys.stdout.write("\n")'
  printf '%s' "$secrets" | python3 -c "$read" "$1"
}
has_document() {
  printf '%s' "$secrets" | python3 -c 'import json, sys
sys.exit(0 if sys.argv[1] in json.load(sys.stdin) else 1)' "$1"
}
same_but_users() {
  python3 -c 'import json, sys
def load(name):
    with open(name, encoding="utf-8") as file:
        return {key: value for key, value in json.load(file).items() if key not in ("users", "tenants")}
try:
    sys.exit(0 if load(sys.argv[1]) == load(sys.argv[2]) else 1)
except (OSError, ValueError, AttributeError):
    sys.exit(1)' "$1" "$2"
}
