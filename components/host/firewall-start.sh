# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $apply
# Needs a prologue that sets apply (the program's path).
# ---
if pending firewall-unit; then
  systemctl daemon-reload
  systemctl enable -q berth-firewall.service
  settled firewall-unit
fi
if pending firewall || ! systemctl is-active -q berth-firewall.service; then
  systemctl restart berth-firewall.service
  settled firewall
else
  # Puts right what somebody changed by hand.
  "$apply"
fi
