#!/bin/sh
# Run once at build: takes out of systemd's boot what belongs to the computer and not to a container.
set -eu
for unit in \
  console-getty.service getty.target getty-static.service \
  systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
  systemd-modules-load.service systemd-remount-fs.service systemd-firstboot.service \
  systemd-machine-id-commit.service systemd-networkd-wait-online.service systemd-hwdb-update.service \
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount \
  proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer
do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
# A node container sees the computer's own /proc/sys. The distribution's files would write kernel-wide settings
# there; the host stages write only settings that belong to the container's network namespace.
mkdir -p /etc/sysctl.d
for file in /usr/lib/sysctl.d/*.conf; do
  [ -e "$file" ] || continue
  ln -sf /dev/null "/etc/sysctl.d/$(basename "$file")"
done
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
systemctl enable ssh.service
