# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# A new daemon.json is taken over without ending anyone's containers: a dockerd without live-restore would end them
# on its way down, so that setting is reloaded first, and the restart waits until it is in force.
# ---
if ! systemctl is-enabled -q docker.service; then
  systemctl enable -q docker.service
  changed 'docker.service enabled'
fi
running() { docker ps -q --no-trunc | sort; }
live() { [ "$(docker info -f '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; }
# shellcheck disable=SC2317 # called by wait_for
registries() {
  docker info -f '{{range $name, $index := .RegistryConfig.IndexConfigs}}{{println $name}}{{end}}' >"$work/registries" &&
    python3 -c 'import json, sys
names = {line.strip() for line in open(sys.argv[2])}
sys.exit(any("/" not in name and name not in names for name in json.load(open(sys.argv[1])).get("insecure-registries", [])))' \
      /etc/docker/daemon.json "$work/registries"
}
reload_until() {
  local rc=0
  leave_out
  systemctl reload docker.service
  (wait_for "$@") || rc=$?
  whole_again
  return "$rc"
}
if pending docker && systemctl is-active -q docker.service; then
  if [ -e "$work/reload-only" ]; then
    # What a reload refuses may still be fine for a restart.
    if reload_until 15 'dockerd has taken over its registries by a reload' registries; then
      changed 'docker.service reloaded'
      settled docker
    fi
  fi
  if pending docker; then
    running >"$work/running"
    if [ -s "$work/running" ] && ! live; then
      if ! reload_until 30 'live-restore is on' live; then
        journalctl -u docker.service -n 15 --no-pager -o cat
        fail 'containers run here, and dockerd did not take over live-restore by a reload: a restart would end them. Nothing was restarted; the reason is above (journalctl -u docker.service)'
      fi
    fi
  fi
fi
if pending docker; then
  # The stages may have restarted it a moment ago, and systemd gives a unit few starts a minute.
  systemctl reset-failed docker.service
  systemctl restart docker.service || {
    journalctl -u docker.service -n 15 --no-pager -o cat
    fail 'dockerd does not start with its new configuration: see journalctl -u docker.service'
  }
  changed 'docker.service restarted'
elif ! systemctl is-active -q docker.service; then
  systemctl start docker.service
  changed 'docker.service started'
fi
wait_for 120 'docker info answers' docker info
if [ -s "$work/running" ]; then
  lost=()
  while IFS= read -r id; do
    # What ended by itself with status 0, or was removed on its end, is none of ours.
    code=$(docker inspect -f '{{.State.ExitCode}}' "$id" 2>/dev/null || echo 0)
    if [ "$code" != 0 ]; then lost+=("$(docker inspect -f '{{.Name}}, status {{.State.ExitCode}}' "$id")"); fi
  done < <(comm -23 "$work/running" <(running))
  # A second restart would bring none of them back.
  settled docker
  if [ "${#lost[@]}" -gt 0 ]; then
    fail "containers ended while dockerd was restarted: $(printf '%s; ' "${lost[@]}")see docker ps -a, and journalctl -u docker.service"
  fi
fi
settled docker
backend=$(docker info -f '{{json .}}' | python3 -c 'import json, sys
print((json.load(sys.stdin).get("FirewallBackend") or {}).get("Driver", ""))')
case $backend in
  nftables*) fail "dockerd uses the firewall backend $backend, which has no chain DOCKER-USER for the rules of Berth: set \"firewall-backend\": \"iptables\"" ;;
esac
