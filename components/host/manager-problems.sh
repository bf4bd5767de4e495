# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $git_name $git_uid $git_floor $git_systems
# Calls `problem` for what would keep the container manager off this server. Needs a prologue that sets git_name, git_uid, git_floor
# and git_systems.
# ---
account=$(getent passwd "$git_uid" | cut -d : -f 1 || true)
if [ -n "$account" ] && [ "$account" != "$git_name" ]; then
  problem "the uid $git_uid is that of $account here, and the container manager fetches repositories with it: give $account another one, or leave this node out of berth:manager.nodes"
fi
git_there=$(dpkg-query -W -f '${Version}' git 2>/dev/null || true)
if [ -z "$git_there" ]; then git_there=$(apt-cache policy git 2>/dev/null | sed -n 's/^ *Candidate: *//p'); fi
case $git_there in
  '' | '(none)') ;;
  *)
    if dpkg --compare-versions "$git_there" lt "1:$git_floor"; then
      problem "the container manager needs git $git_floor or newer, and this server has or would get $git_there: upgrade it to $git_systems, or leave this node out of berth:manager.nodes"
    fi
    ;;
esac
