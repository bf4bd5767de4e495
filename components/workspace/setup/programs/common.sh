# shellcheck shell=bash
# ---
# Runs in the workspace, in front of each program. Standard output is the result alone, one line:
# `changed [NOTE]` or `unchanged [NOTE]`. All else goes to standard error, which is the set-up's log.
set -euo pipefail
exec 3>&1 1>&2
export PATH="$HOME/.local/bin:$PATH"

fail() {
  printf '%s\n' "$*"
  exit 1
}

result() { printf '%s\n' "$*" >&3; }

# A path of the configuration, `~` resolved.
resolve() {
  # shellcheck disable=SC2088 # the text, not the expansion
  case $1 in
    "~") printf '%s' "$HOME" ;;
    "~/"*) printf '%s' "$HOME/${1#"~/"}" ;;
    *) printf '%s' "$1" ;;
  esac
}
