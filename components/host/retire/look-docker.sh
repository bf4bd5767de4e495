# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Containers of others, and what they publish. `daemon-reload` makes systemd write its own device rules for the
# containers that its cgroup driver started, and it knows NVIDIA's devices only by links in /dev/char: without them
# the containers lose their GPUs, and installing packages alone reloads it.
# ---
: >"$work/ours"
: >"$work/ours-published"
: >"$work/published"
: >"$work/bridges"
printf '0\n' >"$work/running"
if [ -e /snap/bin/docker ] || [ -d /var/snap/docker ]; then
  problem 'Docker is installed as a snap, which Berth cannot configure: snap remove --purge docker'
fi
if ! command -v docker >/dev/null; then return 0; fi
info() { timeout 20 docker info -f "$1" 2>/dev/null || true; }
version=$(info '{{.ServerVersion}}')
if [ -z "$version" ]; then
  if command -v dockerd >/dev/null && systemctl is-active -q docker.service; then
    problem 'dockerd runs, and does not answer within 20 s: see journalctl -u docker.service'
  fi
  fact docker "$({ dockerd --version 2>/dev/null || true; } | sed -n 's/^Docker version \([^, ]*\).*/\1/p')"
  return 0
fi
docker_bridges >"$work/bridges" || true
fact docker "$version"
fact dockerPackage "$({ dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null || true; } | cut -d : -f 1)"
fact_json containers "$(info '{{.Containers}}')"
fact_json daemonJson "$(if [ -e /etc/docker/daemon.json ]; then echo true; else echo false; fi)"
fact_json liveRestore "$(info '{{.LiveRestoreEnabled}}')"
driver=$(info '{{.CgroupDriver}}')
fact cgroupDriver "$driver"
fact dataRoot "$(info '{{.DockerRootDir}}')"
backend=$(info '{{json .}}' | python3 -c 'import json, sys
print((json.loads(sys.stdin.read() or "{}").get("FirewallBackend") or {}).get("Driver", ""))' 2>/dev/null || true)
case $backend in
  nftables*) problem 'dockerd uses the firewall backend nftables, which has no chain DOCKER-USER for the rules of Berth: set "firewall-backend": "iptables" in daemon.json' ;;
esac
swarm=$(info '{{.Swarm.LocalNodeState}}')
if [ -n "$swarm" ] && [ "$swarm" != inactive ]; then
  problem "this Docker engine is in a swarm ($swarm), which excludes live-restore: docker swarm leave, or another server"
fi
docker ps -a -q --no-trunc --filter label=berth.component >"$work/ours"
# ID NAME PORTS, without those of Berth.
docker ps --no-trunc --format '{{.ID}}\t{{.Names}}\t{{.Ports}}' >"$work/all"
awk -F '\t' -v ours="$work/ours" '
  BEGIN { while ((getline id < ours) > 0) mine[id] = 1 }
  !($1 in mine) { print }' "$work/all" >"$work/others"
wc -l <"$work/others" >"$work/running"
fact_json running "$(cat -- "$work/running")"
# PROTOCOL START END WHO, from "0.0.0.0:8088->8000/tcp, [::]:7000-7002->7000-7002/tcp"; not what is on loopback.
published() {
  awk -F '\t' -v all="$2" '{
    n = split($3, part, ", ")
    for (i = 1; i <= n; i++) {
      if (index(part[i], "->") == 0 || (!all && part[i] ~ /^(127\.|\[::1\])/)) continue
      split(part[i], side, "->")
      sub(/.*:/, "", side[1])
      sub(/.*\//, "", side[2])
      m = split(side[1], range, "-")
      print side[2], range[1], range[m], $2
    }
  }' "$1"
}
published "$work/others" "" >"$work/published"
awk -F '\t' -v ours="$work/ours" '
  BEGIN { while ((getline id < ours) > 0) mine[id] = 1 }
  $1 in mine { print }' "$work/all" >"$work/own"
published "$work/own" 1 >"$work/ours-published"
# --runtime nvidia, --gpus (which names no driver), a CDI device, or the device's own file.
holds_gpu() {
  python3 -c 'import json, sys
host = json.load(sys.stdin)
asks = host.get("DeviceRequests") or []
files = host.get("Devices") or []
sys.exit(not (host.get("Runtime") == "nvidia" or
              any(ask.get("Driver") == "nvidia" or any("gpu" in names for names in ask.get("Capabilities") or [])
                  or any(str(name).startswith("nvidia.com/") for name in ask.get("DeviceIDs") or []) for ask in asks) or
              any(str(file.get("PathOnHost")).startswith("/dev/nvidia") for file in files)))'
}
if [ "$driver" = systemd ] && [ -c /dev/nvidia0 ] && [ ! -e "/dev/char/$(stat -c '%Hr:%Lr' /dev/nvidia0)" ]; then
  while read -r id _; do
    if docker inspect -f '{{json .HostConfig}}' "$id" | holds_gpu; then
      docker inspect -f '{{.Name}}' "$id"
    fi
  done <"$work/others" | tr -d / >"$work/gpu"
  if [ -s "$work/gpu" ]; then
    problem "these containers would lose their GPUs when systemd reloads its units, which packages and stages make it do: $(paste -s -d ' ' -- "$work/gpu"). First run: nvidia-ctk system create-dev-char-symlinks --create-all"
  fi
fi
