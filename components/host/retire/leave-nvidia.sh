# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# A toolkit that was there before gets its own configuration back. One that Berth installed stays as it is, and so
# does its package source, without which it would get no security updates.
# ---
if ! has_before; then return 0; fi
if [ "$(before cdi)" = missing ]; then unplace /etc/cdi/nvidia.yaml; fi
if [ "$(before migManager)" = enabled ] && ! systemctl is-enabled -q nvidia-mig-manager.service; then
  systemctl enable -q nvidia-mig-manager.service
  changed 'nvidia-mig-manager.service enabled'
fi
config=/etc/nvidia-container-runtime/config.toml
if [ -n "$(before toolkit)" ] && [ -n "$(before toolkitConfig)" ] && [ -f "$config" ]; then
  before_file toolkitConfig >"$work/config.toml"
  place 0644 "$config" <"$work/config.toml"
fi
