# shellcheck shell=bash
# Needs distribution.sh.
# ---
if [ ! -d /run/systemd/system ]; then
  fail "systemd does not run on this node: its process 1 is $(cat /proc/1/comm); Berth's host stages need systemd"
fi
fact os "$ID"
fact osVersion "${VERSION_ID:-testing}"
fact osName "${PRETTY_NAME:-$ID}"
