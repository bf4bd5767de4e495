# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Told once, whatever asks for it.
# ---
if [ -s "$work/reboot" ]; then
  printf 'REBOOT NEEDED: %s\n' "$(cat "$work/reboot")"
  fact rebootRequired "$(paste -s -d ' ' "$work/reboot")"
fi
