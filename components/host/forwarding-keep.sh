# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $folder
# ufw has one policy of FORWARD for both families, and sets it at each start; Docker closes IPv4 alone. A family that
# let everything through before, and was switched on to forward at all, goes on by a rule at the end of FORWARD.
# A ufw that was active before keeps its own policy, so nothing is to be kept beside it. Needs before-reader.sh.
# Needs a prologue that sets folder.
# ---
for family in 4 6; do
  if [ "$(before ufw)" != active ] && [ "$(before "forward$family")" = ACCEPT ] && [ "$(before "forwarding$family")" = 1 ]; then
    printf '%s\n' "$family"
  fi
done >"$work/forward"
place 0644 "$folder/forward" firewall <"$work/forward"
