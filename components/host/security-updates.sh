# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $file $work
# Needs a prologue that sets file, and writes its text to $work/updates.
# ---
apt_install unattended-upgrades
place 0644 "$file" <"$work/updates"
# A timer that somebody switched off stays off, and is told.
if systemctl is-enabled -q apt-daily.timer && systemctl is-enabled -q apt-daily-upgrade.timer; then
  fact securityUpdates on
else
  fact securityUpdates 'no timer'
fi
