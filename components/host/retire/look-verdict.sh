# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Tells everything that stands in the way at once.
# ---
if [ -s "$work/problems" ]; then
  printf 'this server cannot be adopted as it is:\n'
  sed 's/^/- /' "$work/problems"
  fail 'nothing was changed'
fi
