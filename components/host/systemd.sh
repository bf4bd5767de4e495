# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $seconds
# Needs a prologue that sets seconds.
# ---
state_now=$(timeout "$seconds" systemctl is-system-running --wait || true)
case "$state_now" in
  running) ;;
  degraded) systemctl list-units --state=failed --no-legend --plain ;;
  *)
    systemctl list-jobs --no-pager || true
    fail "systemd is not ready after $seconds s: it says '$state_now'"
    ;;
esac
fact systemState "$state_now"
fact_json failedUnits "$(systemctl list-units --state=failed --no-legend --plain | awk '{print $1}' | json_lines)"
