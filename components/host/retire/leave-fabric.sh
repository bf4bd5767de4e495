# shellcheck shell=bash
# Addresses that interfaces have now stay until the next start: the connection may run over one.
# ---
for file in /etc/systemd/network/05-berth-*.network /etc/network/interfaces.d/berth-*; do unplace "$file"; done
unplace /etc/modules-load.d/berth-fabric.conf
unplace /etc/udev/rules.d/70-berth-fabric.rules udev
if pending udev; then
  if command -v udevadm >/dev/null; then udevadm control --reload || true; fi
  settled udev
fi
