# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $marker
# A container sees the whole machine's memory and processors in /proc; what it may use is in its cgroup, whose files
# differ between the two versions. Without a limit, v1 shows a number near 2^63 and v2 the word max. Needs
# own-addresses.sh, and a prologue that sets marker (the file with the hash of the user data).
# ---
first() { { cat -- "$@" 2>/dev/null || true; } | head -n 1; }
fact kernel "$(uname -r)"
fact arch "$(uname -m)"
container=$(systemd-detect-virt --container || true)
fact container "$container"
fact virtualization "$(systemd-detect-virt --vm || true)"
cgroup=1
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then cgroup=2; fi
fact_json cgroupVersion "$cgroup"

memory=$(awk '$1 == "MemTotal:" {printf "%.0f", $2 * 1024}' /proc/meminfo)
cpus=$(nproc)
if [ "$container" != none ]; then
  limit=$(first /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes)
  if [ -n "$limit" ] && [ "$limit" != max ]; then
    memory=$(awk -v a="$memory" -v b="$limit" 'BEGIN {printf "%.0f", a < b ? a : b}')
  fi
  quota=$(first /sys/fs/cgroup/cpu.max)
  if [ -z "$quota" ]; then
    quota="$(first /sys/fs/cgroup/cpu/cpu.cfs_quota_us) $(first /sys/fs/cgroup/cpu/cpu.cfs_period_us)"
  fi
  cpus=$(awk -v n="$cpus" -v q="$quota" 'BEGIN {split(q, p, " "); c = p[2] > 0 && p[1] > 0 ? p[1] / p[2] : n; printf "%.2f", c < n ? c : n}')
fi
fact_json memoryBytes "$memory"
fact_json cpus "$cpus"
fact_json disks "$(lsblk -d -b -n -r -o NAME,TYPE,SIZE,ROTA 2>/dev/null | json_lines)"
fact_json addresses "$(own_addresses | json_lines)"
gpus='[]'
if command -v nvidia-smi >/dev/null; then gpus=$(timeout 30 nvidia-smi -L | json_lines) || gpus='[]'; fi
fact_json gpus "$gpus"
fact userData "$(first "$marker")"
if command -v docker >/dev/null; then
  fact docker "$(timeout 10 docker version -f '{{.Server.Version}}' 2>/dev/null || true)"
fi
