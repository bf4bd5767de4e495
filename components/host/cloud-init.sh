# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $seconds
# Needs a prologue that sets seconds.
# ---
if ! command -v cloud-init >/dev/null; then
  fact cloudInit none
  return 0
fi
rc=0
timeout "$seconds" cloud-init status --wait || rc=$?
case "$rc" in
  0) fact cloudInit "done" ;;
  # Since cloud-init 23.4: it finished, with errors that it could recover from.
  2) fact cloudInit degraded ;;
  124) fail "cloud-init has not finished within $seconds s" ;;
  *)
    cloud-init status --long || true
    fail "cloud-init failed: see /var/log/cloud-init-output.log"
    ;;
esac
