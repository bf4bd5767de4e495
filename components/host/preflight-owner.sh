# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $stack
# Needs before-reader.sh, and a prologue that sets stack.
# ---
owner=$(before stack)
if [ -n "$owner" ] && [ "$owner" != "$stack" ]; then
  problem "this server is a node of the stack $owner. Take it out there first: remove it from that configuration, and run an update"
fi
