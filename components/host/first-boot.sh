# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $seconds
# The last script of the first boot checks the host key that it was given. Needs a prologue that sets seconds.
# ---
if ! command -v cloud-init >/dev/null; then return 0; fi
rc=0
timeout "$seconds" cloud-init status --wait || rc=$?
if [ "$rc" = 124 ]; then fail "the first boot has not ended within $seconds s, so the host key stays as it is"; fi
