/**
 * What people write cannot give anybody else's rights: below the tree, files neither run as their owner or group
 * (nosuid: setuid, setgid, capabilities of files) nor stand for a device (nodev), on the node and in containers, whose
 * mounts of these folders take the options over. Pure.
 *
 * The options are of a mount, not of a file system (mount(8), "nosuid", "nodev"; capabilities(7) on MNT_NOSUID), so a
 * folder that is no mount of its own is bound to itself. It happens at each start, before dockerd: a container keeps
 * the options that its folders had when it started.
 */
import { checkPath, heredoc, quote } from "../shell";
import type { StageStep } from "../stage";
import { defaultStorage, type TreeOptions } from "./tree";

export const PROGRAM = "/usr/local/lib/berth/guard-storage";
const UNIT = "/etc/systemd/system/berth-storage.service";
export const DROP_IN = "/etc/systemd/system/docker.service.d/10-berth-storage.conf";
/** The folders that were bound to themselves, one a line: gone with the binds at the next start. */
export const GUARDED = "/run/berth-guarded";

/** Below the root: what holds folders that people write to. */
const FOLDERS = ["homes", "workspaces", "docker-volumes", "shared"] as const;

/**
 * The program. Without an argument it guards; `off [PATH]` takes its binds at and below PATH away, all without one.
 * It runs any number of times, and changes what lacks the options alone.
 */
export function guardProgram(root: string): string {
  return `#!/bin/bash
# Berth: nothing that people write runs with another one's rights. Rendered: a change here is lost.
set -euo pipefail
root=${quote(root)} record=${quote(GUARDED)}

# Fills \`options\`: the options of each mount at or below $1, by its place. Of several at one place the last one is seen.
look() {
  local target given
  options=()
  while read -r _ _ _ _ target given _; do
    # The kernel writes blanks and the like as \\ooo.
    target=$(printf '%b' "\${target//\\\\/\\\\0}")
    case $target/ in "$1"/*) options[$target]=$given ;; esac
  done </proc/self/mountinfo
}

off() {
  local target
  [ -e "$record" ] || return 0
  tac -- "$record" | while IFS= read -r target; do
    case $target/ in "$1"/*) if mountpoint -q -- "$target"; then umount -- "$target"; fi ;; esac
  done
  while IFS= read -r target; do
    case $target/ in "$1"/*) ;; *) printf '%s\\n' "$target" ;; esac
  done <"$record" >"$record.new"
  mv -f -T -- "$record.new" "$record"
}

guard() {
  local folder target
  local -A options
  for folder in ${FOLDERS.map((name) => quote(`${root}/${name}`)).join(" ")}; do
    [ -d "$folder" ] || continue
    if ! mountpoint -q -- "$folder"; then
      # With what is mounted below it, which would be hidden else.
      mount --rbind -- "$folder" "$folder"
      printf '%s\\n' "$folder" >>"$record"
    fi
    look "$folder"
    for target in "\${!options[@]}"; do
      case ,\${options[$target]}, in *,nosuid,*) case ,\${options[$target]}, in *,nodev,*) continue ;; esac ;; esac
      mount -o "remount,bind,\${options[$target]},nosuid,nodev" -- "$target"
      printf 'guarded %s\\n' "$target"
    done
  done
}

case \${1:-on} in
  on) guard ;;
  off) off "\${2:-$root}" ;;
  *)
    echo "usage: \${0##*/} [on | off [PATH]]" >&2
    exit 2
    ;;
esac
`;
}

const UNIT_TEXT = `[Unit]
Description=Berth's guard of what people write: nosuid, nodev
After=local-fs.target remote-fs.target
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${PROGRAM}

[Install]
WantedBy=multi-user.target
`;

const DROP_IN_TEXT = `# Berth: no container starts before what people write is guarded.
[Service]
ExecStartPre=${PROGRAM}
`;

/** Guards the tree now and at each start. */
export function guardStep(options: TreeOptions): StageStep {
  const root = checkPath(options.root ?? defaultStorage.root, "storage.root");
  const body = `
place 0755 ${PROGRAM} ${heredoc(guardProgram(root))}
place 0644 ${UNIT} storage-unit ${heredoc(UNIT_TEXT)}
place 0644 ${DROP_IN} storage-unit ${heredoc(DROP_IN_TEXT)}
if pending storage-unit; then
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable -q berth-storage.service
  fi
  settled storage-unit
fi
${PROGRAM} >"$work/guarded" || fail "what people write could not be mounted with nosuid and nodev: see the lines above"
while IFS= read -r line; do changed "$line"; done <"$work/guarded"
`;
  return { name: "guard what people write", body };
}
