# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $ray_uid
# Calls `problem` where somebody has Ray's uid: that account would read Ray's token, and be held to the firewall's
# rules for Ray's tasks. Needs a prologue that sets ray_uid.
# ---
account=$(getent passwd "$ray_uid" | cut -d : -f 1 || true)
if [ -n "$account" ]; then
  problem "the uid $ray_uid is that of $account here, and Ray's tasks run with it: give $account another one, or have a stack without Ray (berth:ray: {enabled: false})"
fi
