# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $stack $mark $homes $system
# What a node says about itself, a fact a line, the words of a fact separated by tabs; END when it got so far.
# ---
start=$(cut -d ' ' -f 22 /proc/1/stat)
printf 'B\t%s/%s\n' "$(cat /proc/sys/kernel/random/boot_id)" "$start"
if [ -e "$mark" ]; then printf 'M\t%s\n' "$(base64 -w 0 "$mark")"; fi
# An NFS server that is away must not hold this up; what is on one is not on the machine's disk.
if [ -n "$(timeout 5 ls -A "$homes" 2>/dev/null)" ] && [ "$(timeout 5 stat -L -c %d "$homes")" = "$(stat -c %d "$system")" ]; then
  printf 'H\n'
fi
format='{{.Label "berth.component"}}\t{{.Names}}\t{{.Label "berth.owner"}}\t{{.State}}\t{{.Status}}'
if list=$(timeout 15 docker ps --all --filter "label=berth.stack=$stack" --format "$format" 2>/dev/null); then
  printf 'D\n'
  printf '%s\n' "$list" | while IFS="$(printf '\t')" read -r component name owner state status; do
    case $component in
    workspace)
      open=0
      if [ "$state" = running ]; then
        open=$(timeout 15 docker exec "$name" ls /dev/pts </dev/null 2>/dev/null | grep -c '^[0-9]' || true)
      fi
      printf 'W\t%s\t%s\t%s\t%s\t%s\n' "$name" "$owner" "$state" "$status" "$open" ;;
    ray)
      ray=down
      if [ "$state" = running ]; then
        code=0
        # Ray's tasks have the same account, and could write into this answer.
        ray=$(set -o pipefail; timeout 15 docker exec "$name" berth-ray state </dev/null 2>/dev/null | head -c 20) || code=$?
        # 2: "usage". Anything else: it is just starting or ending.
        if [ "$code" = 2 ]; then ray=old; elif [ "$code" != 0 ]; then ray=starting; fi
        case $ray in *[!a-z]*) ray=starting ;; esac
      fi
      printf 'R\t%s\t%s\n' "$name" "$ray" ;;
    esac
  done
fi
echo END
