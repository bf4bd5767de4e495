# shellcheck shell=bash
# ---
# Cloning, for dotfiles.sh and clone.sh.
export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=/bin/false GIT_ALLOW_PROTOCOL=file:https:ssh
if ! git config core.sshCommand >/dev/null; then
  # Nobody is there to answer a question. A host that is not known yet is taken on first use, as git's users do.
  export GIT_SSH_COMMAND='ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=20'
fi

# True when the clone at $1 came from $2, be there a `.git` or a `/` more or less at the end.
same_origin() {
  local origin wanted=$2
  origin=$(git -C "$1" remote get-url origin 2>/dev/null) || return 1
  origin=${origin%/} wanted=${wanted%/}
  [ "${origin%.git}" = "${wanted%.git}" ]
}

empty_place() {
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then return 0; fi
  [ -d "$1" ] && [ -z "$(ls -A -- "$1")" ]
}

# clone URL PATH BRANCH: whole or not at all, so that a run cut short leaves no half of a clone.
clone() {
  local url=$1 path=$2 branch=$3
  if ! empty_place "$path"; then
    fail "$path is there and is no clone: move it away, or give the repository another path"
  fi
  mkdir -p -- "$(dirname -- "$path")"
  part=$(mktemp -d -- "$(dirname -- "$path")/.$(basename -- "$path").berth-XXXXXX")
  trap 'rm -rf -- "$part"' EXIT
  chmod 0755 -- "$part"
  git clone --quiet ${branch:+--branch "$branch"} -- "$url" "$part"
  if [ -d "$path" ]; then rmdir -- "$path"; fi
  mv -T -- "$part" "$path"
  trap - EXIT
}
