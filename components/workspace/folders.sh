# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $berth $uid $user $home $workspace $tensorboard $volume
# Needs a prologue that sets uid, user, and the folders: home, workspace, tensorboard, volume (of its state) and berth.
# ---
# The uid that the workspace was made with the last time; nothing where it was not made here.
known=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["uid"])' "$berth/workspace.json" 2>/dev/null || true)
own() {
  if [ -L "$2" ]; then fail "$2 is a link; a workspace needs a folder of its own"; fi
  if [ -d "$2" ]; then
    if [ "$(stat -c %u -- "$2")" != "$uid" ]; then
      # With root in the workspace its owner can give the folder itself away, which must not end an update of everybody.
      if [ "$known" = "$uid" ] && chown -h "$uid:$uid" -- "$2"; then
        changed "$2"
        return 0
      fi
      fail "$2 belongs to uid $(stat -c %u -- "$2"), not to $user (uid $uid): chown it, or give $user the index that made it"
    fi
    return 0
  fi
  install -d -m "$1" -o "$uid" -g "$uid" -- "$2"
  changed "$2"
}
own 0700 "$home"
own 0700 "$workspace"
own 0755 "$tensorboard"
own 0700 "$volume"
install -d -m 0700 -- /var/lib/berth/workspaces "$berth"
