# shellcheck shell=bash
# Takes Berth's unit for persistence away.
# ---
own=/etc/systemd/system/berth-persistence.service
drop=/etc/systemd/system/nvidia-persistenced.service.d/berth.conf
if [ -e "$own" ]; then systemctl disable -q --now berth-persistence.service; fi
unplace "$own" units
unplace "$drop" units
reload_units
