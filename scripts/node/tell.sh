# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $stack $login, and in base64 $text $program
# Tells every running workspace of the stack; one that cannot be told is named.
# ---
text=$(printf %s "$text" | base64 -d)
program=$(printf %s "$program" | base64 -d)
docker ps --filter "label=berth.stack=$stack" --filter label=berth.component=workspace --format '{{.Names}}\t{{.Label "berth.owner"}}' |
  while IFS="$(printf '\t')" read -r name owner; do
    # Its owner is root in it, and says there what they like.
    if told=$(set -o pipefail; printf '%s\n' "$text" | timeout 30 docker exec -i "$name" sh -c "$program" notice "$login" 2>/dev/null | head -c 10); then
      case $told in *[!0-9]*) told=0 ;; esac
      printf 'T\t%s\t%s\n' "$owner" "$told"
    else
      printf 'F\t%s\n' "$owner"
    fi
  done
echo END
