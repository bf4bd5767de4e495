/** The first stage of a node: it waits until the machine has finished starting, then says what it is. Pure. */

import { userDataMarker } from "../../cloud-init";
import { ownAddresses } from "./bridges";
import { checkPath, checkWhole, quote } from "./shell";
import { renderStage, type StageStep } from "./stage";

export interface ReadyOptions {
  /** Seconds that cloud-init may take; 0 where there is none. @default 900 */
  cloudInitSeconds?: number;
  /** Seconds that systemd may take to finish starting. @default 300 */
  startSeconds?: number;
  /**
   * Free space that the installation needs, checked only while the node has no Docker yet (later the space is
   * used by what was installed).
   */
  minFree?: readonly { path: string; bytes: number }[];
}

/** The oldest releases that the stages are written for: systemd 249, nftables, Docker 20.10 with updates. */
export const supported = { debian: 12, ubuntu: 22.04 } as const;
const SUPPORTED_TEXT = `Debian ${supported.debian} or newer and Ubuntu ${supported.ubuntu} or newer`;

export function renderReady(options: ReadyOptions & { node: string }): string {
  return renderStage({
    name: "ready",
    node: options.node,
    uses: [],
    steps: [
      { name: "distribution", body: DISTRIBUTION, deadlineSeconds: 30 },
      ...cloudInit(checkWhole(options.cloudInitSeconds ?? 900, "ready.cloudInitSeconds", 0, 7200)),
      ...systemd(checkWhole(options.startSeconds ?? 300, "ready.startSeconds", 1, 7200)),
      ...room(options.minFree ?? []),
      { name: "facts", body: FACTS, deadlineSeconds: 120 },
    ],
  });
}

/**
 * Looks at /etc/os-release; sets variables of its names.
 * @param say the function that is told of a system that the stages do not support: `fail` ends a stage, `problem` goes on to
 * what else stands in the way of an adoption
 */
export const distributionCheck = (say: "fail" | "problem"): string => `
# shellcheck source=/dev/null
. /etc/os-release
case "\${ID:-}" in
  debian) oldest=${supported.debian} ;;
  ubuntu) oldest=${supported.ubuntu} ;;
  *) oldest= ;;
esac
number=\${VERSION_ID:-0}
# Debian testing has no VERSION_ID; it is newer than any release.
if [ "\${ID:-}" = debian ] && [ -z "\${VERSION_ID:-}" ]; then number=999; fi
if [ -z "$oldest" ] || ! printf '%s\\n' "$oldest" "$number" | sort -V -C; then
  ${say} "this node runs \${PRETTY_NAME:-an unknown system}; Berth's host stages support ${SUPPORTED_TEXT}"
fi`;

const DISTRIBUTION = `${distributionCheck("fail")}
if [ ! -d /run/systemd/system ]; then
  fail "systemd does not run on this node: its process 1 is $(cat /proc/1/comm); Berth's host stages need systemd"
fi
fact os "$ID"
fact osVersion "\${VERSION_ID:-testing}"
fact osName "\${PRETTY_NAME:-$ID}"
`;

function cloudInit(seconds: number): StageStep[] {
  if (seconds === 0) return [];
  const body = `
if ! command -v cloud-init >/dev/null; then
  fact cloudInit none
  return 0
fi
rc=0
timeout ${seconds} cloud-init status --wait || rc=$?
case "$rc" in
  0) fact cloudInit "done" ;;
  # Since cloud-init 23.4: it finished, with errors that it could recover from.
  2) fact cloudInit degraded ;;
  124) fail "cloud-init has not finished within ${seconds} s" ;;
  *)
    cloud-init status --long || true
    fail "cloud-init failed: see /var/log/cloud-init-output.log"
    ;;
esac
`;
  return [{ name: "wait for cloud-init", body, deadlineSeconds: seconds + 30 }];
}

function systemd(seconds: number): StageStep[] {
  const body = `
state_now=$(timeout ${seconds} systemctl is-system-running --wait || true)
case "$state_now" in
  running) ;;
  degraded) systemctl list-units --state=failed --no-legend --plain ;;
  *)
    systemctl list-jobs --no-pager || true
    fail "systemd is not ready after ${seconds} s: it says '$state_now'"
    ;;
esac
fact systemState "$state_now"
fact_json failedUnits "$(systemctl list-units --state=failed --no-legend --plain | awk '{print $1}' | json_lines)"
`;
  return [{ name: "wait for systemd", body, deadlineSeconds: seconds + 30 }];
}

function room(minFree: readonly { path: string; bytes: number }[]): StageStep[] {
  if (minFree.length === 0) return [];
  const checks = minFree.map(({ path, bytes }) => {
    const where = "ready.minFree";
    return `check_room ${quote(checkPath(path, where))} ${checkWhole(bytes, where, 0, Number.MAX_SAFE_INTEGER)}`;
  });
  const body = `
if command -v dockerd >/dev/null; then return 0; fi
check_room() {
  local path=$1 need=$2 free
  while [ ! -e "$path" ]; do path=$(dirname -- "$path"); done
  free=$(df -P -B1 -- "$path" | awk 'NR == 2 {print $4}')
  if [ "$free" -lt "$need" ]; then
    fail "too little room for $1: $((need / 1048576)) MiB are needed, $((free / 1048576)) MiB are free"
  fi
}
${checks.join("\n")}
`;
  return [{ name: "room on the disks", body, deadlineSeconds: 30 }];
}

/**
 * A container sees the whole machine's memory and processors in /proc; what it may use is in its cgroup, whose
 * files differ between the two versions. Without a limit, v1 shows a number near 2^63 and v2 the word max.
 */
const FACTS = `
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
${ownAddresses}
fact_json addresses "$(own_addresses | json_lines)"
gpus='[]'
if command -v nvidia-smi >/dev/null; then gpus=$(timeout 30 nvidia-smi -L | json_lines) || gpus='[]'; fi
fact_json gpus "$gpus"
fact userData "$(first ${userDataMarker})"
if command -v docker >/dev/null; then
  fact docker "$(timeout 10 docker version -f '{{.Server.Version}}' 2>/dev/null || true)"
fi
`;
