# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Who listens: `$work/listeners` holds PROTOCOL ADDRESS PORT PID NAME, without what is Berth's own: processes in its
# containers or services, and Docker's proxy for a port that one of its containers publishes.
# ---
berths() {
  local pid=$1 port=$2 name=$3
  if [ "$name" = docker-proxy ]; then
    awk -v port="$port" '$2 + 0 <= port && port <= $3 + 0 {found = 1} END {exit !found}' "$work/ours-published"
    return
  fi
  [ -r "/proc/$pid/cgroup" ] || return 1
  if grep -q -E '/berth[a-z-]*\.service' "/proc/$pid/cgroup"; then return 0; fi
  [ -s "$work/ours" ] && grep -q -F -f "$work/ours" "/proc/$pid/cgroup"
}
: >"$work/listeners"
for protocol in tcp udp; do
  ss -H -l -n -p "--$protocol" | while read -r _ _ _ local _ users; do
    address=${local%:*} port=${local##*:}
    name=$(sed -n 's/^users:(("\([^"]*\)".*/\1/p' <<<"$users")
    pid=$(sed -n 's/^[^=]*pid=\([0-9]*\).*/\1/p' <<<"$users")
    if ! berths "${pid:-0}" "$port" "$name"; then
      printf '%s %s %s %s %s\n' "$protocol" "$address" "$port" "${pid:-0}" "${name:-unknown}" >>"$work/listeners"
    fi
  done
done
# What the outside can reach now. ufw's own rules always let DHCP, mDNS and UPnP answers in (before.rules).
awk '$2 !~ /^(127\.|\[::1\])/ && $5 != "docker-proxy" && !($1 == "udp" && $3 ~ /^(68|546|5353|1900)$/) {print $1, $3, $3, $5}' "$work/listeners" >"$work/outside"
planned() {
  awk -v from="$1" -v to="$2" '$1 == "tcp" && from <= $3 + 0 && $3 + 0 <= to {
    key = $3 " " $5
    if (!(key in seen)) { seen[key] = 1; print $2 ":" $3, $5, $4 }
  }' "$work/listeners" | while read -r where name pid; do
    # sshd, or systemd that starts it, on the port that is SSH's.
    case "$4 $name" in 'ssh sshd' | 'ssh systemd') continue ;; esac
    printf '%s\n' "port ${where##*:} is for $3 ($4), and $name (process $pid) listens on $where: stop it, or move the range" >>"$work/problems"
  done
}
