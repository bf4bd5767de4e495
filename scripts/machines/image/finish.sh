#!/bin/sh
# Ends the making of the disk of test machines: finish.sh ROOT, with the files beside it.
set -eu
root=$1 here=${0%/*}
install -m 0755 "$here/machine-seed" "$root/usr/local/sbin/machine-seed"
install -m 0644 "$here/machine-seed.service" "$root/etc/systemd/system/machine-seed.service"
chroot "$root" systemctl enable -q machine-seed.service systemd-networkd.service ssh.service
printf 'LABEL=root / ext4 defaults 0 1\n' >"$root/etc/fstab"
# The machines reach no mirror: all that they need is here, and apt-get update has nothing to ask.
: >"$root/etc/apt/sources.list"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
# No name server: a look-up fails at once.
: >"$root/etc/resolv.conf"
# What each machine has for itself alone.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
printf 'debian\n' >"$root/etc/hostname"
