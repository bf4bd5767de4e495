# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $stack $sysctls $work $record
# Writes the record; a new one each time until a stage has changed something, for the operator may have changed things
# since the last look. `$stack` is whose node it becomes; `$work/ufw` and `$work/existing` hold ufw's state and the
# directories that are there. Needs a prologue that sets stack and sysctls (names of kernel settings).
# ---
if [ -e "$state/daemon.json" ] || [ -e /etc/ssh/sshd_config.d/10-berth.conf ] || [ -e /etc/berth ]; then
  # Berth is here: what is there now is not what was there before. It may be from a time when no record was kept.
  fact before "$(if has_before; then echo recorded; else echo unknown; fi)"
  return 0
fi
line() { printf '"%s":"%s",\n' "$1" "$2"; }
content() { if [ -f "$1" ]; then base64 -w 0 -- "$1"; fi; }
unit() { systemctl is-enabled "$1" 2>/dev/null || true; }
policy() { { "$1" -w 10 -S FORWARD 2>/dev/null || true; } | sed -n 's/^-P FORWARD //p'; }
{
  printf '{\n'
  line version 1
  line stack "$stack"
  line ufw "$(cat -- "$work/ufw")"
  line ufwUnit "$(unit ufw.service)"
  line ufwDefaults "$(content /etc/default/ufw)"
  line forward4 "$(policy iptables)"
  line forward6 "$(policy ip6tables)"
  line forwarding4 "$(sysctl -n net.ipv4.ip_forward 2>/dev/null || true)"
  line forwarding6 "$(sysctl -n net.ipv6.conf.all.forwarding 2>/dev/null || true)"
  line dockerUnit "$(unit docker.service)"
  line daemonJsonIs "$(if [ -e /etc/docker/daemon.json ]; then printf there; else printf missing; fi)"
  line daemonJson "$(content /etc/docker/daemon.json)"
  line timezone "$(timedatectl show -p Timezone --value 2>/dev/null || true)"
  line timesyncd "$(unit systemd-timesyncd.service)"
  for name in "${sysctls[@]}"; do line "sysctl.$name" "$(sysctl -n "$name" 2>/dev/null || true)"; done
  line toolkit "$(dpkg-query -W -f '${Version}' nvidia-container-toolkit 2>/dev/null || true)"
  line toolkitConfig "$(content /etc/nvidia-container-runtime/config.toml)"
  line migManager "$(unit nvidia-mig-manager.service)"
  line cdi "$(if [ -e /etc/cdi/nvidia.yaml ]; then printf there; else printf missing; fi)"
  line directories "$(base64 -w 0 -- "$work/existing")"
  printf '"end":""\n}\n'
} >"$work/before"
place 0600 "$record" <"$work/before"
fact before recorded
