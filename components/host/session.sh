# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $allowed
# Needs session.py in $work, and a prologue that sets allowed (networks).
# ---
from=${SSH_CONNECTION:-}
from=${from%% *}
if [ -z "$from" ]; then
  # Not over SSH: nothing to cut.
  return 0
fi
python3 "$work/session.py" "$from" "${allowed[@]}"
