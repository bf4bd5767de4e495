/** The bash with which the preflight looks at a server. It reads; nothing here writes outside `$work`. Pure text. */

import { dockerBridges, ownAddresses } from "../bridges";
import { OTHERS_RULE } from "../published";

/** `problem TEXT`: stands in the way. `will TEXT`: will be changed. Plus the questions that several steps ask. */
export const helpers = `
problem() { printf '%s\\n' "$*" >>"$work/problems"; }
will() { printf '%s\\n' "$*" >>"$work/will"; }
new_file() { if [ ! -e "$1" ]; then will "adds $1: $2"; fi; }
# PROTOCOL START END WHO lines: those in no range of $work/open, as one text.
closed_ports() {
  awk -v open="$work/open" '
    BEGIN { while ((getline line < open) > 0) { split(line, p, " "); n++; kind[n] = p[1]; from[n] = p[2] + 0; to[n] = p[3] + 0 } }
    {
      covered = 0
      for (i = 1; i <= n; i++) if (kind[i] == $1 && from[i] <= $2 + 0 && $3 + 0 <= to[i]) covered = 1
      text = $1 " " ($2 == $3 ? $2 : $2 "-" $3) ($4 == "" ? "" : " (" $4 ")")
      if (!covered && !(text in seen)) { seen[text] = 1; out = out (out == "" ? "" : ", ") text }
    }
    END { printf "%s", out }'
}
`.trim();

export const SYSTEM = `
${ownAddresses}
: >"$work/problems"
if [ ! -d /run/systemd/system ]; then
  problem "systemd does not run here: process 1 is $(cat /proc/1/comm). Berth's host stages need systemd"
fi
if ! command -v ip >/dev/null || ! command -v ss >/dev/null; then
  fail 'the commands ip and ss are missing, with which addresses and ports are looked at: apt-get install iproute2'
fi
fact login "\${SUDO_USER:-$(id -un)}"
# The stage runs as root: by itself, or through sudo without a password.
fact_json sudo "$(if [ -n "\${SUDO_USER:-}" ]; then echo true; else echo false; fi)"
fact_json users "$(getent passwd | awk -F : '$3 >= 1000 && $3 < 60000' | json_lines)"
fact_json disks "$({ lsblk -P -b -o NAME,TYPE,SIZE,FSTYPE,PTTYPE,LABEL,UUID,MOUNTPOINT 2>/dev/null || true; } | json_lines)"
fact_json mounts "$({ findmnt -n -r -b --real -o SOURCE,TARGET,FSTYPE,SIZE,AVAIL 2>/dev/null || true; } | json_lines)"
timesync=none
for service in chrony chronyd ntpsec ntp systemd-timesyncd; do
  if systemctl is-active -q "$service"; then
    timesync=$service
    break
  fi
done
if systemd-detect-virt --container -q; then timesync=host; fi
printf '%s\\n' "$timesync" >"$work/timesync"
fact timeSync "$timesync"
fact_json synchronized "$(if [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null || true)" = yes ]; then echo true; else echo false; fi)"
private_address() {
  local holder
  holder=$(ip -o addr show to "$1" | awk 'NR == 1 {print $2}')
  fact privateInterface "$holder"
  if [ -z "$holder" ]; then
    problem "the private address $1 is on no interface of this server. It has: $(own_addresses | paste -s -d ,)"
  elif [ -n "$2" ] && ! ip -o addr show dev "$2" to "$1" 2>/dev/null | grep -q .; then
    problem "the private address $1 is on $holder, and privateInterface says $2"
  fi
}
check_room() {
  local path=$1 free
  if command -v dockerd >/dev/null; then return 0; fi
  while [ ! -e "$path" ]; do path=$(dirname -- "$path"); done
  free=$(df -P -B1 -- "$path" | awk 'NR == 2 {print $4}')
  if [ "$free" -lt "$2" ]; then
    problem "too little room for $1: $(($2 / 1048576)) MiB are needed, $((free / 1048576)) MiB are free"
  fi
}
`.trim();

/**
 * Containers of others, and what they publish. \`daemon-reload\` makes systemd write its own device rules for the
 * containers that its cgroup driver started, and it knows NVIDIA's devices only by links in /dev/char: without them
 * the containers lose their GPUs, and installing packages alone reloads it.
 */
export const DOCKER = `
${dockerBridges}
: >"$work/ours"
: >"$work/ours-published"
: >"$work/published"
: >"$work/bridges"
printf '0\\n' >"$work/running"
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
  fact docker "$({ dockerd --version 2>/dev/null || true; } | sed -n 's/^Docker version \\([^, ]*\\).*/\\1/p')"
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
docker ps --no-trunc --format '{{.ID}}\\t{{.Names}}\\t{{.Ports}}' >"$work/all"
awk -F '\\t' -v ours="$work/ours" '
  BEGIN { while ((getline id < ours) > 0) mine[id] = 1 }
  !($1 in mine) { print }' "$work/all" >"$work/others"
wc -l <"$work/others" >"$work/running"
fact_json running "$(cat -- "$work/running")"
# PROTOCOL START END WHO, from "0.0.0.0:8088->8000/tcp, [::]:7000-7002->7000-7002/tcp"; not what is on loopback.
published() {
  awk -F '\\t' -v all="$2" '{
    n = split($3, part, ", ")
    for (i = 1; i <= n; i++) {
      if (index(part[i], "->") == 0 || (!all && part[i] ~ /^(127\\.|\\[::1\\])/)) continue
      split(part[i], side, "->")
      sub(/.*:/, "", side[1])
      sub(/.*\\//, "", side[2])
      m = split(side[1], range, "-")
      print side[2], range[1], range[m], $2
    }
  }' "$1"
}
published "$work/others" "" >"$work/published"
awk -F '\\t' -v ours="$work/ours" '
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
`.trim();

/**
 * Tables and chains of Docker, ufw, podman and Berth are known, as are Docker's bridges ($work/bridges) and the names of
 * iptables' own tables. \`$work/redirected\` holds PROTOCOL START END CHAIN of what others forward by DNAT: it is guarded
 * like a published port. Without a port only where everything of an address is forwarded: a kube-proxy has thousands.
 */
export const FIREWALLS = `
ufw_state=missing rules=0
if command -v ufw >/dev/null; then
  ufw_state=inactive
  if [ "$(ufw status | head -n 1)" = 'Status: active' ]; then ufw_state=active; fi
  rules=$(ufw show added | grep -e '^ufw ' | grep -c -v -e " comment 'berth:" || true)
fi
printf '%s\\n' "$ufw_state" >"$work/ufw"
fact ufw "$ufw_state"
fact_json ufwRules "$rules"
: >"$work/others-firewall"
: >"$work/redirected"
for service in firewalld nftables shorewall csf; do
  if systemctl is-active -q "$service"; then printf 'service %s\\n' "$service" >>"$work/others-firewall"; fi
done
if systemctl is-active -q firewalld; then
  problem 'firewalld is active, and Berth works with ufw; two of them undo each other: systemctl disable --now firewalld'
fi
if command -v nft >/dev/null; then
  { nft list tables 2>/dev/null || true; } |
    awk '!($2 ~ /^ip6?$/ && $3 ~ /^(filter|nat|mangle|raw|security)$/) && $3 !~ /^(docker|netavark|libvirt)/ {print "nftables", $0}' >>"$work/others-firewall"
fi
for tool in iptables ip6tables; do
  if ! command -v "$tool" >/dev/null; then continue; fi
  { "$tool" -w 10 -S 2>/dev/null || true; } |
    awk -v tool="$tool" -v list="$work/bridges" -v ours=${OTHERS_RULE} '
      BEGIN { bridge["docker0"] = 1; while ((getline name < list) > 0) bridge[name] = 1 }
      $1 != "-A" || ($2 != "INPUT" && $2 != "FORWARD") || / -j (ufw6?-|DOCKER|BERTH-|NETAVARK|CNI-)/ || index($0, ours) { next }
      {
        for (i = 3; i < NF; i++) if (($i == "-i" || $i == "-o") && ($(i + 1) in bridge || $(i + 1) ~ /^(berth|podman)/)) next
        n[$2]++
      }
      END { for (chain in n) print tool ": " n[chain] " rules of others in " chain }' >>"$work/others-firewall"
  { "$tool" -w 10 -t nat -S 2>/dev/null || true; } |
    awk '$1 == "-A" && $2 != "DOCKER" && $2 != "OUTPUT" && / -j DNAT( |$)/ {
      protocol = "tcp"; ports = ""
      for (i = 3; i < NF; i++) {
        if ($i == "-p") protocol = $(i + 1)
        if ($i == "--dport" || $i == "--dports") ports = $(i + 1)
      }
      if (ports == "" && $2 == "PREROUTING") ports = "1:65535"
      n = split(ports, part, ",")
      for (i = 1; i <= n; i++) { m = split(part[i], range, ":"); print protocol, range[1], range[m], $2 }
    }' >>"$work/redirected"
done
fact_json otherFirewalls "$(sort -- "$work/others-firewall" | json_lines)"
`.trim();

/**
 * Who listens: \`$work/listeners\` holds PROTOCOL ADDRESS PORT PID NAME, without what is Berth's own: processes in its
 * containers or services, and Docker's proxy for a port that one of its containers publishes.
 */
export const LISTENERS = `
berths() {
  local pid=$1 port=$2 name=$3
  if [ "$name" = docker-proxy ]; then
    awk -v port="$port" '$2 + 0 <= port && port <= $3 + 0 {found = 1} END {exit !found}' "$work/ours-published"
    return
  fi
  [ -r "/proc/$pid/cgroup" ] || return 1
  if grep -q -E '/berth[a-z-]*\\.service' "/proc/$pid/cgroup"; then return 0; fi
  [ -s "$work/ours" ] && grep -q -F -f "$work/ours" "/proc/$pid/cgroup"
}
: >"$work/listeners"
for protocol in tcp udp; do
  ss -H -l -n -p "--$protocol" | while read -r _ _ _ local _ users; do
    address=\${local%:*} port=\${local##*:}
    name=$(sed -n 's/^users:(("\\([^"]*\\)".*/\\1/p' <<<"$users")
    pid=$(sed -n 's/^[^=]*pid=\\([0-9]*\\).*/\\1/p' <<<"$users")
    if ! berths "\${pid:-0}" "$port" "$name"; then
      printf '%s %s %s %s %s\\n' "$protocol" "$address" "$port" "\${pid:-0}" "\${name:-unknown}" >>"$work/listeners"
    fi
  done
done
# What the outside can reach now. ufw's own rules always let DHCP, mDNS and UPnP answers in (before.rules).
awk '$2 !~ /^(127\\.|\\[::1\\])/ && $5 != "docker-proxy" && !($1 == "udp" && $3 ~ /^(68|546|5353|1900)$/) {print $1, $3, $3, $5}' "$work/listeners" >"$work/outside"
planned() {
  awk -v from="$1" -v to="$2" '$1 == "tcp" && from <= $3 + 0 && $3 + 0 <= to {
    key = $3 " " $5
    if (!(key in seen)) { seen[key] = 1; print $2 ":" $3, $5, $4 }
  }' "$work/listeners" | while read -r where name pid; do
    # sshd, or systemd that starts it, on the port that is SSH's.
    case "$4 $name" in 'ssh sshd' | 'ssh systemd') continue ;; esac
    printf '%s\\n' "port \${where##*:} is for $3 ($4), and $name (process $pid) listens on $where: stop it, or move the range" >>"$work/problems"
  done
}
`.trim();

export const VERDICT = `
if [ -s "$work/problems" ]; then
  printf 'this server cannot be adopted as it is:\\n'
  sed 's/^/- /' "$work/problems"
  fail 'nothing was changed'
fi
`;
