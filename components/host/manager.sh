# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $git_name $git_uid $git_gid $git_about $git_floor $git_systems $cache
# What the container manager needs beside berthd: git with an account of its own and what bounds it; D-Bus, which systemd-run needs in
# order to wait; a slice. Needs a prologue that sets git_name, git_uid, git_gid, git_about (of the account), git_floor (the oldest git that is told which
# addresses to dial), git_systems (that have it), and cache (a folder that the account may pass through; what is in it can be fetched again).
# ---
apt_install dbus git
found=$(git --version | sed -n 's/^git version \([0-9][0-9.]*[0-9]\).*/\1/p')
if ! printf '%s\n' "$git_floor" "$found" | sort -V -C; then
  fail "the container manager needs git $git_floor or newer, and this node has ${found:-none}: take $git_systems, or leave the node out of berth:manager.nodes"
fi
for program in setpriv prlimit choom nice systemd-run; do
  if ! command -v "$program" >/dev/null; then fail "the container manager needs $program (util-linux, coreutils, systemd), and this node has none"; fi
done
if [ "$(getent group "$git_gid" | cut -d : -f 1 || true)" != "$git_name" ]; then
  groupadd -g "$git_gid" -- "$git_name" || fail "the group $git_name with the id $git_gid cannot be made: see above who has the name or the id, and change that one"
  changed "group $git_name"
fi
if [ "$(getent passwd "$git_uid" | cut -d : -f 1 || true)" != "$git_name" ]; then
  useradd -u "$git_uid" -g "$git_gid" -M -d /nonexistent -s /usr/sbin/nologin -c "$git_about" -- "$git_name" ||
    fail "the account $git_name with the id $git_uid cannot be made: see above who has the name or the id, and change that one"
  changed "account $git_name"
fi
if [ ! -d "$cache" ]; then
  install -d -m 0755 -- "$cache"
  changed "$cache"
fi
if pending manager-slice; then
  systemctl daemon-reload
  settled manager-slice
fi
