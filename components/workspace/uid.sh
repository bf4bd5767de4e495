# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $uid $own_home $index $user
# Needs a prologue that sets uid, own_home, index and user.
# ---
for home in /mnt/storage/homes/*; do
  [ -d "$home" ] || continue
  if [ "$(stat -c %u -- "$home")" != "$uid" ] || [ "$home" = "$own_home" ]; then continue; fi
  # Whoever has a workspace here can give their home to any uid: it is put right when theirs is prepared.
  if [ -e "/var/lib/berth/workspaces/${home##*/}/workspace.json" ]; then continue; fi
  fail "uid $uid (index $index) owns $home, the home of a former user: give $user another index, or remove that home (state: removed, purge: true)"
done
