# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $git_name $git_uid $git_gid $git_about
# The account that fetched repositories for back-ends, and its group, where manager.sh made them: an account that somebody else made has
# other words about it. Needs a prologue that sets git_name, git_uid, git_gid and git_about. Its files go with the cache, see leave-last.sh.
# ---
account=$(getent passwd "$git_name" | cut -d : -f 1,3-5 || true)
if [ "$account" = "$git_name:$git_uid:$git_gid:$git_about" ]; then
  userdel -- "$git_name"
  account=
  changed "account $git_name"
fi
# With its last account it may have gone already.
if [ -z "$account" ] && [ "$(getent group "$git_name" | cut -d : -f 3 || true)" = "$git_gid" ]; then
  groupdel -- "$git_name"
  changed "group $git_name"
fi
