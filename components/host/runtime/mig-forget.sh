# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $unit $program
# The GPUs stay divided as they are; nobody does it again after the next start.
# ---
if [ -e "$unit" ]; then systemctl disable -q berth-mig.service; fi
unplace "$unit" units
unplace "$program"
unplace /etc/berth/mig.json
unplace /etc/berth/mig.yaml
rm -f -- /etc/berth/mig.lock
reload_units
