# shellcheck shell=bash
# `theirs`: /etc/fstab without Berth's lines. `places`: where the lines of standard input mount something, one place a
# line. `in_fstab PLACE FILE`: true where the place is one of those, however it is written: with more slashes, by a
# link, or with a blank as \040 (fstab(5)).
#
# Nothing is asked of a file system that is mounted at one of them, since its server may be away and never answer: a
# place that something is mounted at is no link. A place below such a file system is given up after some seconds, and
# taken as it is written.
# ---
begin='# Berth storage: begin. Rendered: a change here is lost.' end='# Berth storage: end'
theirs() { awk -v begin="$begin" -v end="$end" '$0 == begin {skip = 1} !skip {print} $0 == end {skip = 0}' /etc/fstab; }
# mountinfo writes a blank as \040.
is_mount_point() { place=${1// /\\040} awk '$5 == ENVIRON["place"] {found = 1} END {exit !found}' /proc/self/mountinfo; }
real_place() {
  local path=$1/ holder
  while [[ $path == *//* ]]; do path=${path//\/\//\/}; done
  while [[ $path == */./* ]]; do path=${path//\/.\//\/}; done
  path=${path%/}
  if ! is_mount_point "${path:-/}" && holder=$(timeout -k 1 5 realpath -m -- "${path%/*}/"); then
    path=${holder%/}/${path##*/}
    if ! is_mount_point "$path"; then path=$(timeout -k 1 5 realpath -m -- "$path" || printf '%s' "$path"); fi
  fi
  printf '%s\n' "${path:-/}"
}
places() {
  local place
  awk '$1 !~ /^#/ && $2 ~ /^\// {print $2}' | while IFS= read -r place; do
    printf -v place '%b' "${place//\\/\\0}"
    real_place "$place"
  done
}
in_fstab() { grep -q -x -F -e "$(real_place "$1")" -- "$2"; }
