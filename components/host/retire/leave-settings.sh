# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $sysctls
# The session goes on when sshd reloads: it is a process of its own.
# ---
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
  for key in "${sysctls[@]}"; do
    ours=$(sed -n "s/^$key = //p" "$file")
    if [ -z "$ours" ] || ! has_before || [ "$(sysctl -n "$key")" != "$ours" ]; then continue; fi
    # By the file: sysctl takes no empty value.
    printf '%s\n' "$(before "sysctl.$key")" >"/proc/sys/${key//.//}"
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
