# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $oldest_debian $oldest_ubuntu $say
# Looks at /etc/os-release; sets variables of its names. Needs a prologue that sets say (the function that is told of
# a system that the stages do not support: `fail` ends a stage, `problem` goes on to what else stands in the way of an
# adoption), oldest_debian and oldest_ubuntu.
# ---
# shellcheck source=/dev/null
. /etc/os-release
case "${ID:-}" in
  debian) oldest=$oldest_debian ;;
  ubuntu) oldest=$oldest_ubuntu ;;
  *) oldest= ;;
esac
number=${VERSION_ID:-0}
# Debian testing has no VERSION_ID; it is newer than any release.
if [ "${ID:-}" = debian ] && [ -z "${VERSION_ID:-}" ]; then number=999; fi
if [ -z "$oldest" ] || ! printf '%s\n' "$oldest" "$number" | sort -V -C; then
  "$say" "this node runs ${PRETTY_NAME:-an unknown system}; Berth's host stages support Debian $oldest_debian or newer and Ubuntu $oldest_ubuntu or newer"
fi
