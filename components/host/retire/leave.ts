/** The steps of the retirement that take single things away. Each looks at what is there, and runs again unharmed. Pure text. */
import { quote } from "../shell";
import { PROGRAM } from "../storage/guard";
import { GUARDED } from "../storage/guard-program";
import { recordedSysctls } from "./before";

/** What the stack's own destroy left: containers that its services made, or of a run that was cut. Volumes are data. */
export const CONTAINERS = `
if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then return 0; fi
for id in $(docker ps -a -q --no-trunc "\${filters[@]}"); do
  name=$(docker inspect -f '{{.Name}}' "$id")
  docker rm -f -- "$id"
  changed "container \${name#/}"
done
for name in $(docker network ls "\${filters[@]}" --format '{{.Name}}'); do
  docker network rm -- "$name"
  changed "network $name"
done
`;

/** Says which nvidia-smi is a stand-in of Berth's: agent/src/inventory/fake.ts writes it. */
const STAND_IN = "Written by Berth: stands in for nvidia-smi";

/**
 * All but the firewall's, which stands until the end. What berthd left in /run and in its state goes with the rest of it, see LAST.
 */
export const SERVICES = `
# It would make its slices again.
if [ -e /etc/systemd/system/berthd.service ]; then systemctl stop berthd.service; fi
for file in /etc/systemd/system/berth*; do
  [ -e "$file" ] || continue
  unit=\${file##*/}
  if [ "$unit" = berth-firewall.service ]; then continue; fi
  case $unit in
    *.d) rm -rf -- "$file" ;;
    *)
      systemctl disable -q --now "$unit" || true
      unplace "$file" units
      ;;
  esac
done
# Added to the units of others.
for file in /etc/systemd/system/*.d/berth.conf; do
  unplace "$file" units
  rmdir --ignore-fail-on-non-empty -- "$(dirname -- "$file")" 2>/dev/null || true
done
for file in /etc/systemd/system/docker.service.wants/berth*.slice; do unplace "$file" units; done
rmdir --ignore-fail-on-non-empty -- /etc/systemd/system/docker.service.wants 2>/dev/null || true
if pending units; then
  systemctl daemon-reload
  settled units
fi
unplace /etc/tmpfiles.d/berth-agent.conf
unplace /etc/cdi/berth-declared.json
if grep -q -s -F -e ${quote(STAND_IN)} /usr/local/bin/nvidia-smi; then unplace /usr/local/bin/nvidia-smi; fi
for file in /etc/profile.d/berth-*.sh; do unplace "$file"; done
for file in /usr/local/bin/* /usr/local/share/bash-completion/completions/* /usr/local/share/zsh/site-functions/*; do
  case $(readlink -- "$file" || true) in /usr/local/lib/berth/*) unplace "$file" ;; esac
done
`;

/**
 * A bound directory shares its file system with whatever else is on it, so what else uses that says nothing about the
 * bind: the kernel says whether it is in use.
 */
export const UNBIND = `
# What does not go is tried again below.
if [ -x ${PROGRAM} ]; then ${PROGRAM} off || true; fi
if [ ! -f "$state/storage/mounts" ]; then return 0; fi
while read -r _ target type _ whose; do
  if [ "$type $whose" = 'none ours' ] && mountpoint -q -- "$target"; then
    if umount -- "$target"; then changed "unmounted $target"; fi
  fi
done < <(tac -- "$state/storage/mounts")
`;

/** After the unmounts, which may have had something on or below a bind of the guard's. */
export const UNGUARD = `
: >"$work/left-guarded"
if [ -x ${PROGRAM} ] && ! ${PROGRAM} off; then
  printf 'What people wrote stays guarded in these places until the next start of the machine:\\n'
  cat -- ${GUARDED} | tee "$work/left-guarded"
fi
if [ ! -s ${GUARDED} ]; then rm -f -- ${GUARDED} ${GUARDED}.lock; fi
fact_json leftGuarded "$(json_lines <"$work/left-guarded")"
`;

/** Addresses that interfaces have now stay until the next start: the connection may run over one. */
export const FABRIC = `
for file in /etc/systemd/network/05-berth-*.network /etc/network/interfaces.d/berth-*; do unplace "$file"; done
unplace /etc/modules-load.d/berth-fabric.conf
unplace /etc/udev/rules.d/70-berth-fabric.rules udev
if pending udev; then
  if command -v udevadm >/dev/null; then udevadm control --reload || true; fi
  settled udev
fi
`;

/**
 * A toolkit that was there before gets its own configuration back. One that Berth installed stays as it is, and so
 * does its package source, without which it would get no security updates.
 */
export const NVIDIA = `
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
`;

/** The session goes on when sshd reloads: it is a process of its own. */
export const SETTINGS = `
drop_in=/etc/ssh/sshd_config.d/10-berth.conf
if [ -f "$drop_in" ]; then cp -p -- "$drop_in" "$work/sshd-before"; fi
unplace "$drop_in" sshd
if pending sshd; then
  install -d -m 0755 /run/sshd
  if ! sshd -t; then
    if [ -f "$work/sshd-before" ]; then mv -f -- "$work/sshd-before" "$drop_in"; fi
    fail "sshd refuses its configuration without Berth's part: mend /etc/ssh/sshd_config; $drop_in is as it was, and sshd was not reloaded"
  fi
fi
for file in /etc/ssh/berth-keys/*; do unplace "$file"; done
if [ -d /etc/ssh/berth-keys ]; then rmdir -- /etc/ssh/berth-keys; fi
if pending sshd; then
  systemctl try-reload-or-restart ssh.service
  settled sshd
fi
for file in /etc/sudoers.d/50-berth-*; do unplace "$file"; done
file=/etc/sysctl.d/60-berth.conf
if [ -f "$file" ]; then
  for key in ${recordedSysctls.join(" ")}; do
    ours=$(sed -n "s/^$key = //p" "$file")
    if [ -z "$ours" ] || ! has_before || [ "$(sysctl -n "$key")" != "$ours" ]; then continue; fi
    # By the file: sysctl takes no empty value.
    printf '%s\\n' "$(before "sysctl.$key")" >"/proc/sys/\${key//.//}"
  done
  unplace "$file"
fi
unplace /etc/systemd/journald.conf.d/50-berth.conf journald
if pending journald; then
  systemctl restart systemd-journald
  settled journald
fi
rmdir --ignore-fail-on-non-empty -- /etc/systemd/journald.conf.d 2>/dev/null || true
unplace /etc/apt/apt.conf.d/53berth-security-updates
if ! systemd-detect-virt --container -q; then
  zone=$(before timezone)
  if [ -n "$zone" ] && [ "$(timedatectl show -p Timezone --value)" != "$zone" ]; then
    timedatectl set-timezone "$zone"
    changed timezone
  fi
  if [ "$(before timesyncd)" = disabled ] && systemctl is-enabled -q systemd-timesyncd.service; then
    systemctl disable -q --now systemd-timesyncd.service
    changed systemd-timesyncd
  fi
fi
`;

/** Last, since a run that is cut needs the record, and a failure its log. */
export const LAST = `
for path in /etc/berth /usr/local/lib/berth /run/berth; do
  if [ -e "$path" ]; then
    rm -rf -- "$path"
    changed "$path"
  fi
done
rm -rf -- "$state" "$logs"
rm -f -- "$lock"
`;
